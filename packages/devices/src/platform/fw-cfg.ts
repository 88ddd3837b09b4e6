import { atomic, i32, SharedMutex, struct, u16, u32 } from '@tsvmm/struct';
import type { GuestMemory } from '@tsvmm/vm-memory';
import type { BusAccess, BusDevice } from '../bus.ts';
import { DeviceError } from '../errors.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

// QEMU's firmware configuration device: docs/specs/fw_cfg.rst of QEMU.

/** Where its registers are: at a PC's I/O ports, or in memory as on Arm. Offsets from the first of them. */
interface RegisterMap {
  /** How many addresses there are. */
  readonly length: number;
  /** The selector of 16 bits. On a PC, the second of its ports is also that of the data. */
  readonly selector: number;
  readonly isSelectorBigEndian: boolean;
  readonly data: number;
  readonly dataLength: number;
  /** The address of a DMA's description, 64 bits, big-endian; its second half starts the DMA. */
  readonly dma: number;
}

const MAPS = {
  ports: { length: 12, selector: 0, isSelectorBigEndian: false, data: 1, dataLength: 1, dma: 4 },
  memory: { length: 24, selector: 8, isSelectorBigEndian: true, data: 0, dataLength: 8, dma: 16 },
} as const satisfies Readonly<Record<string, RegisterMap>>;

/** The usual I/O port. */
export const FW_CFG_PORT = 0x510;
/** How many addresses the device has, by where they are. */
export const FW_CFG_LENGTH = { ports: MAPS.ports.length, memory: MAPS.memory.length } as const;

/** Keys of items. */
const SIGNATURE = 0x00;
const REVISION = 0x01;
const FILE_DIRECTORY = 0x19;
const FIRST_FILE = 0x20;
/** Bit 14 meant writing once; it is not part of the key. */
const KEY_MASK = 0xbfff;
/** Keys from here on are of the architecture's own items, of which there are none. */
const FILES_MAXIMUM = 0x4000 - FIRST_FILE;

/** Revision: byte by byte through the data register, and by DMA. */
const TRADITIONAL_INTERFACE = 1 << 0;
const DMA_INTERFACE = 1 << 1;

/** What the DMA register reads as. */
const DMA_SIGNATURE = new TextEncoder().encode('QEMU CFG');
const DMA_REGISTER_LENGTH = 8;

/** FWCfgDmaAccess, big-endian: control (32 bits), length (32), address (64). */
const DMA_LENGTH = 4;
const DMA_ADDRESS = 8;
const DMA_ACCESS_LENGTH = 16;

/** Bits of its control field, whose upper half is the key to select. */
const DMA_ERROR = 1 << 0;
const DMA_READ = 1 << 1;
const DMA_SKIP = 1 << 2;
const DMA_SELECT = 1 << 3;
const DMA_WRITE = 1 << 4;

/** An entry of the directory: size and key, big-endian, two reserved bytes, name. */
const ENTRY_LENGTH = 64;
const NAME_OFFSET = 8;
/** With its NUL. */
const NAME_LENGTH = ENTRY_LENGTH - NAME_OFFSET;

const layout = struct(
  {
    lock: atomic(i32),
    key: u16,
    position: u32,
    /** Upper half of the address of the next DMA. */
    dmaHigh: u32,
    /** Its lower half, while it is written. */
    dmaLow: u32,
  },
  { name: 'fw-cfg', version: 2 },
);

/** A file for firmware, such as `opt/org.example/setting`. */
export interface FwCfgFile {
  /** 1 to 55 ASCII characters. */
  readonly name: string;
  readonly data: Uint8Array;
}

/** The device as plain data; the items are in shared memory. */
export interface FwCfgDescriptor {
  readonly kind: 'fw-cfg';
  readonly registers: keyof typeof MAPS;
  readonly state: SharedArrayBuffer;
  readonly items: ReadonlyMap<number, Uint8Array<SharedArrayBuffer>>;
}

const encoder = new TextEncoder();

/**
 * Makes the device with its files.
 * @throws DeviceError BAD_OPTION for a name that cannot be, or is there twice, or for too many files
 */
export function describeFwCfg(options: {
  readonly registers: keyof typeof MAPS;
  readonly files: readonly FwCfgFile[];
}): FwCfgDescriptor {
  const { files, registers } = options;
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
  items.set(REVISION, shared(Uint8Array.of(TRADITIONAL_INTERFACE | DMA_INTERFACE, 0, 0, 0)));
  items.set(FILE_DIRECTORY, shared(directory));
  return { kind: 'fw-cfg', registers, state: new SharedArrayBuffer(layout.size), items };
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

const NOTHING = new Uint8Array(new SharedArrayBuffer(0));

/**
 * The device's registers: a key is written, then its item is read, byte by byte or by DMA into guest memory. What is not
 * there reads as zeros, and nothing can be written.
 */
export class FwCfg implements BusDevice {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #registers: RegisterMap;
  readonly #items: FwCfgDescriptor['items'];
  readonly #memory: GuestMemory;

  constructor(descriptor: FwCfgDescriptor, memory: GuestMemory) {
    this.#state = layout.attach(descriptor.state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#registers = MAPS[descriptor.registers];
    this.#items = descriptor.items;
    this.#memory = memory;
  }

  read(access: BusAccess): void {
    const { data, dataLength, dma } = this.#registers;
    this.#mutex.lock();
    try {
      // The data register gives its next byte to each byte of a wider access, too.
      const isData = access.offset >= data && access.offset < data + dataLength;
      readBytes(access, (offset) => (isData ? this.#next() : (DMA_SIGNATURE[offset - dma] ?? 0)));
    } finally {
      this.#mutex.unlock();
    }
  }

  write(access: BusAccess): void {
    const { selector, isSelectorBigEndian, dma } = this.#registers;
    this.#mutex.lock();
    try {
      if (access.offset === selector && access.size === 2) {
        this.#select(isSelectorBigEndian ? swap16(access.low) : access.low);
      } else if (access.offset >= dma && access.size >= 4) {
        writeBytes(access, (offset, value) => this.#writeDma(offset - dma, value));
      }
    } finally {
      this.#mutex.unlock();
    }
  }

  #select(key: number): void {
    this.#state.key = key & KEY_MASK;
    this.#state.position = 0;
  }

  get #item(): Uint8Array {
    return this.#items.get(this.#state.key) ?? NOTHING;
  }

  #next(): number {
    const { position } = this.#state;
    const byte = this.#item[position];
    if (byte === undefined) return 0;
    this.#state.position = position + 1;
    return byte;
  }

  /** A byte of the DMA register, of which the most significant comes first. */
  #writeDma(index: number, value: number): void {
    const state = this.#state;
    if (index < DMA_REGISTER_LENGTH / 2) {
      state.dmaHigh = ((state.dmaHigh << 8) | value) >>> 0;
      return;
    }
    state.dmaLow = ((state.dmaLow << 8) | value) >>> 0;
    if (index === DMA_REGISTER_LENGTH - 1) {
      const address = state.dmaHigh * 2 ** 32 + state.dmaLow;
      state.dmaHigh = 0;
      // Where there is no memory, there is nowhere to say so.
      if (this.#memory.contains(address, DMA_ACCESS_LENGTH)) this.#transfer(address);
    }
  }

  /** Does what is described at an address of the guest's memory, and writes there whether that went well. */
  #transfer(description: number): void {
    const control = this.#readWord(description);
    const length = this.#readWord(description + DMA_LENGTH);
    const addressHigh = this.#readWord(description + DMA_ADDRESS);
    const address = addressHigh * 2 ** 32 + this.#readWord(description + DMA_ADDRESS + 4);
    if ((control & DMA_SELECT) !== 0) this.#select(control >>> 16);
    let isDone = true;
    if ((control & DMA_READ) !== 0) isDone = this.#copyOut(address, length);
    else if ((control & DMA_WRITE) !== 0) isDone = false;
    else if ((control & DMA_SKIP) !== 0) this.#advance(length);
    this.#memory.writeUint32(description, isDone ? 0 : swap32(DMA_ERROR));
  }

  #copyOut(address: number, length: number): boolean {
    if (!this.#memory.contains(address, length)) return false;
    const { position } = this.#state;
    const bytes = this.#item.subarray(position, position + length);
    this.#memory.copyIn(address, bytes);
    this.#memory.fill(address + bytes.length, length - bytes.length, 0);
    this.#advance(length);
    return true;
  }

  #advance(length: number): void {
    this.#state.position = Math.min(this.#state.position + length, this.#item.length);
  }

  #readWord(address: number): number {
    return swap32(this.#memory.readUint32(address));
  }
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function swap32(value: number): number {
  return ((swap16(value & 0xffff) << 16) | swap16(value >>> 16)) >>> 0;
}
