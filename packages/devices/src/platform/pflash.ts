import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { atomic, i32, struct, u8, u32 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import { DeviceError } from '../errors.ts';
import { SharedMutex } from '../lock.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

// NOR flash with Intel's command set (CFI 0001), as far as firmware uses it to keep its variables.

/** Most bytes: what there is between PCI's addresses and 4 GiB. */
const MAXIMUM_SIZE = 16 * 2 ** 20;

/** Commands. */
const PROGRAM = 0x10;
const BLOCK_ERASE = 0x20;
const CLEAR_STATUS = 0x50;
const READ_STATUS = 0x70;
const CONFIRM = 0xd0;
const READ_ARRAY = 0xff;

/** Bits of the status register. */
const READY = 1 << 7;
const ERASE_ERROR = 1 << 5;
const PROGRAM_ERROR = 1 << 4;

/** What the next access means. */
const Mode = { array: 0, status: 1, program: 2, erase: 3 } as const;

const layout = struct(
  {
    lock: atomic(i32),
    mode: u8,
    status: u8,
    /** Where the command was written whose second cycle is to come. */
    commandOffset: u32,
  },
  { name: 'pflash', version: 1 },
);

/** Flash memory as plain data. */
export interface PflashDescriptor {
  readonly kind: 'pflash';
  readonly state: SharedArrayBuffer;
  readonly contents: SharedArrayBuffer;
  /** Bytes that are erased together. */
  readonly blockSize: number;
  /** Descriptor of the file that keeps the contents. */
  readonly file: number;
}

/** Flash memory in a file, and the file. */
export class PflashFile implements Disposable {
  readonly descriptor: PflashDescriptor;

  private constructor(descriptor: PflashDescriptor) {
    this.descriptor = descriptor;
  }

  /**
   * @param blockSize a power of two, of which the file's size is a multiple; 4096 unless given
   * @throws DeviceError BACKEND_FAILED when the file cannot be opened for reading and writing, BAD_OPTION for a size
   * that flash memory cannot have
   */
  static open(path: string, blockSize = 4096): PflashFile {
    let file = -1;
    try {
      file = openSync(path, constants.O_RDWR);
      const { size } = fstatSync(file);
      checkSizes(path, size, blockSize);
      const contents = new SharedArrayBuffer(size);
      const bytes = new Uint8Array(contents);
      for (let done = 0; done < size; ) {
        const count = readSync(file, bytes, done, size - done, done);
        if (count === 0)
          throw new DeviceError('BACKEND_FAILED', `The flash image ${path} has become shorter.`);
        done += count;
      }
      const state = new SharedArrayBuffer(layout.size);
      layout.attach(state).status = READY;
      return new PflashFile({ kind: 'pflash', state, contents, blockSize, file });
    } catch (cause) {
      if (file >= 0) closeSync(file);
      if (cause instanceof DeviceError) throw cause;
      throw new DeviceError(
        'BACKEND_FAILED',
        `The flash image ${path} cannot be opened for reading and writing.`,
        { cause },
      );
    }
  }

  /** Bytes of address space. */
  get size(): number {
    return this.descriptor.contents.byteLength;
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor.file);
  }
}

function checkSizes(path: string, size: number, blockSize: number): void {
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 1) {
    throw new DeviceError('BAD_OPTION', `A flash block has a power of two of bytes, not ${blockSize}.`);
  }
  if (size === 0 || size > MAXIMUM_SIZE || size % blockSize !== 0) {
    throw new DeviceError(
      'BAD_OPTION',
      `The flash image ${path} has ${size} bytes: it needs a multiple of the block size of ${blockSize}, up to ${MAXIMUM_SIZE}.`,
    );
  }
}

/**
 * The flash memory's bus side. Programming clears bits, erasing sets those of a block; both are in the file before the
 * guest's next instruction.
 */
export class Pflash implements BusDevice {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #contents: Uint8Array<SharedArrayBuffer>;
  readonly #blockSize: number;
  readonly #file: number;

  constructor(descriptor: PflashDescriptor) {
    this.#state = layout.attach(descriptor.state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#contents = new Uint8Array(descriptor.contents);
    this.#blockSize = descriptor.blockSize;
    this.#file = descriptor.file;
  }

  read(access: BusAccess): void {
    this.#mutex.lock();
    try {
      const { mode, status } = this.#state;
      readBytes(access, (offset) => (mode === Mode.array ? (this.#contents[offset] ?? 0) : status));
    } finally {
      this.#mutex.unlock();
    }
  }

  write(access: BusAccess): void {
    this.#mutex.lock();
    try {
      // The chip is eight bits wide.
      writeBytes(access, (offset, value) => this.#writeByte(offset, value));
    } finally {
      this.#mutex.unlock();
    }
  }

  #writeByte(offset: number, value: number): void {
    const state = this.#state;
    switch (state.mode) {
      case Mode.program:
        state.mode = Mode.status;
        this.#program(offset, value);
        break;
      case Mode.erase:
        state.mode = Mode.status;
        // Anything but the confirmation, for the same block, is an improper sequence: both error bits.
        if (value === CONFIRM && this.#blockOf(offset) === this.#blockOf(state.commandOffset))
          this.#erase(offset);
        else state.status = READY | ERASE_ERROR | PROGRAM_ERROR;
        break;
      default:
        this.#command(offset, value);
    }
  }

  #command(offset: number, command: number): void {
    const state = this.#state;
    state.commandOffset = offset;
    switch (command) {
      case PROGRAM:
        state.mode = Mode.program;
        break;
      case BLOCK_ERASE:
        state.mode = Mode.erase;
        break;
      case CLEAR_STATUS:
        // Firmware takes a status of zero after this for the sign that there is flash memory.
        state.status = 0;
        break;
      case READ_STATUS:
        state.mode = Mode.status;
        break;
      case READ_ARRAY:
        state.mode = Mode.array;
        state.status = READY;
        break;
      default:
        // Commands that the chip does not have lead back to its contents.
        state.mode = Mode.array;
    }
  }

  #blockOf(offset: number): number {
    return Math.floor(offset / this.#blockSize);
  }

  #program(offset: number, value: number): void {
    this.#contents[offset] = (this.#contents[offset] ?? 0) & value;
    this.#store(offset, 1, PROGRAM_ERROR);
  }

  #erase(offset: number): void {
    const start = this.#blockOf(offset) * this.#blockSize;
    this.#contents.fill(0xff, start, start + this.#blockSize);
    this.#store(start, this.#blockSize, ERASE_ERROR);
  }

  /** Writes what has changed to the file; the guest sees in the status whether that went well. */
  #store(start: number, length: number, error: number): void {
    this.#state.status = READY;
    try {
      for (let done = 0; done < length; ) {
        done += writeSync(this.#file, this.#contents, start + done, length - done, start + done);
      }
    } catch {
      this.#state.status |= error;
    }
  }
}
