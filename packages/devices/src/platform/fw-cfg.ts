import { atomic, i32, struct, u16, u32 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import { DeviceError } from '../errors.ts';
import { SharedMutex } from '../lock.ts';
import { readBytes } from './byte-registers.ts';

// QEMU's firmware configuration device, through I/O ports: docs/specs/fw_cfg.rst of QEMU.

/** First port, and how many there are: the selector of 16 bits, whose second port is also that of the data. */
export const FW_CFG_PORT = 0x510;
export const FW_CFG_LENGTH = 4;

const SELECTOR = 0;
const DATA = 1;

/** Keys of items. */
const SIGNATURE = 0x00;
const REVISION = 0x01;
const FILE_DIRECTORY = 0x19;
const FIRST_FILE = 0x20;
/** Bit 14 meant writing once; it is not part of the key. */
const KEY_MASK = 0xbfff;
/** Keys from here on are of the architecture's own items, of which there are none. */
const FILES_MAXIMUM = 0x4000 - FIRST_FILE;

/** Revision: the traditional interface, and no DMA. */
const TRADITIONAL_INTERFACE = 1 << 0;

/** An entry of the directory: size and key, big-endian, two reserved bytes, name. */
const ENTRY_LENGTH = 64;
const NAME_OFFSET = 8;
/** With its NUL. */
const NAME_LENGTH = ENTRY_LENGTH - NAME_OFFSET;

const layout = struct({ lock: atomic(i32), key: u16, position: u32 }, { name: 'fw-cfg', version: 1 });

/** A file for firmware, such as `opt/org.example/setting`. */
export interface FwCfgFile {
  /** 1 to 55 ASCII characters. */
  readonly name: string;
  readonly data: Uint8Array;
}

/** The device as plain data; the items are in shared memory. */
export interface FwCfgDescriptor {
  readonly kind: 'fw-cfg';
  readonly state: SharedArrayBuffer;
  readonly items: ReadonlyMap<number, Uint8Array<SharedArrayBuffer>>;
}

const encoder = new TextEncoder();

/**
 * Makes the device with its files.
 * @throws DeviceError BAD_OPTION for a name that cannot be, or is there twice, or for too many files
 */
export function describeFwCfg(options: { readonly files: readonly FwCfgFile[] }): FwCfgDescriptor {
  const { files } = options;
  const refuse = (what: string) => new DeviceError('BAD_OPTION', `fw_cfg: ${what}`);
  if (files.length > FILES_MAXIMUM) {
    throw refuse(`there is room for ${FILES_MAXIMUM} files, not ${files.length}.`);
  }
  const names = new Set<string>();
  const directory = new Uint8Array(4 + ENTRY_LENGTH * files.length);
  const view = new DataView(directory.buffer);
  view.setUint32(0, files.length);
  const items = new Map<number, Uint8Array<SharedArrayBuffer>>();
  for (const [index, { name, data }] of files.entries()) {
    const quoted = JSON.stringify(name);
    if (!/^[\x21-\x7e]+$/.test(name) || name.length >= NAME_LENGTH) {
      throw refuse(`a file cannot be named ${quoted}: give 1 to ${NAME_LENGTH - 1} ASCII characters.`);
    }
    if (names.has(name)) throw refuse(`two files are named ${quoted}: leave one of them out.`);
    names.add(name);
    const entry = 4 + ENTRY_LENGTH * index;
    view.setUint32(entry, data.length);
    view.setUint16(entry + 4, FIRST_FILE + index);
    directory.set(encoder.encode(name), entry + NAME_OFFSET);
    items.set(FIRST_FILE + index, shared(data));
  }
  items.set(SIGNATURE, shared(encoder.encode('QEMU')));
  items.set(REVISION, shared(Uint8Array.of(TRADITIONAL_INTERFACE, 0, 0, 0)));
  items.set(FILE_DIRECTORY, shared(directory));
  return { kind: 'fw-cfg', state: new SharedArrayBuffer(layout.size), items };
}

function shared(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** A PCI function that can be booted from. */
export interface BootDevice {
  readonly device: number;
  readonly function: number;
}

/** The file `bootorder`: disks on PCI bus 0 by their Open Firmware paths, the first to be tried first. */
export function bootOrderFile(devices: readonly BootDevice[]): FwCfgFile {
  const paths = devices.map((address) => {
    const unit = address.device.toString(16);
    const fn = address.function === 0 ? '' : `,${address.function.toString(16)}`;
    return `/pci@i0cf8/scsi@${unit}${fn}/disk@0,0`;
  });
  return { name: 'bootorder', data: encoder.encode(`${paths.join('\n')}\0`) };
}

/** The device's ports: a key is written, then its item is read byte by byte. What is not there reads as zeros. */
export class FwCfg implements BusDevice {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #items: FwCfgDescriptor['items'];

  constructor(descriptor: FwCfgDescriptor) {
    this.#state = layout.attach(descriptor.state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#items = descriptor.items;
  }

  read(access: BusAccess): void {
    this.#mutex.lock();
    try {
      // The data port gives its next byte to each byte of a wider access, too.
      const isData = access.offset === DATA;
      readBytes(access, () => (isData ? this.#next() : 0));
    } finally {
      this.#mutex.unlock();
    }
  }

  write(access: BusAccess): void {
    if (access.offset !== SELECTOR || access.size !== 2) return;
    this.#mutex.lock();
    try {
      this.#state.key = access.low & KEY_MASK;
      this.#state.position = 0;
    } finally {
      this.#mutex.unlock();
    }
  }

  #next(): number {
    const { key, position } = this.#state;
    const byte = this.#items.get(key)?.[position];
    if (byte === undefined) return 0;
    this.#state.position = position + 1;
    return byte;
  }
}
