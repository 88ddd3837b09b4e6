import { writeSync } from 'node:fs';
import { array, atomic, i32, SharedMutex, struct, u8, u16, u32 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { RegionSwitch } from '../environment.ts';
import { readBytes } from './byte-registers.ts';
import { cfiQuery } from './cfi-query.ts';

// NOR flash with Intel's command set (StrataFlash data sheets, table "command bus operations"), as far as firmware uses it
// to keep its variables.

/** Commands. */
const WORD_PROGRAM = 0x40;
const WORD_PROGRAM_ALTERNATE = 0x10;
const BLOCK_ERASE = 0x20;
const CLEAR_STATUS = 0x50;
const BLOCK_LOCK = 0x60;
const READ_STATUS = 0x70;
const READ_IDENTIFIER = 0x90;
const READ_QUERY = 0x98;
const BUFFERED_PROGRAM = 0xe8;
const CONFIRM = 0xd0;
const READ_ARRAY = 0xff;

/** Bits of the status register. */
const READY = 1 << 7;
const ERASE_ERROR = 1 << 5;
const PROGRAM_ERROR = 1 << 4;
/** Both together: a sequence of commands that cannot be. */
const SEQUENCE_ERROR = READY | ERASE_ERROR | PROGRAM_ERROR;

/** Identifier: manufacturer (Intel) and device; behind them, in each block, its lock, which is open. */
const IDENTIFIER = Uint8Array.of(0x89, 0x18);

/** Bytes of a chip's buffer, by the width of its words, of which as many can be counted; and of the buffers of two. */
const CHIP_BUFFER_SIZES = { 1: 256, 2: 1024 } as const;
const BUFFER_SIZE = 2 * CHIP_BUFFER_SIZES[2];

/** What the next access means. */
const Mode = {
  array: 0,
  status: 1,
  identifier: 2,
  query: 3,
  /** The second cycle of a command is to come. */
  program: 4,
  erase: 5,
  lock: 6,
  /** Of buffered programming: the number of words, the first word, the others, the confirmation. */
  bufferCount: 7,
  bufferStart: 8,
  bufferData: 9,
  bufferConfirm: 10,
} as const;

const layout = struct(
  {
    lock: atomic(i32),
    mode: u8,
    status: u8,
    /** Cycles of data that are to come. */
    bufferCycles: u16,
    /** Where the command was written whose second cycle is to come; where the buffer is to go. */
    commandOffset: u32,
    /** What is to be programmed; bits that are set stay as they are. */
    buffer: array(u8, BUFFER_SIZE),
  },
  { name: 'pflash', version: 2 },
);

/** Flash memory as plain data. */
export interface PflashDescriptor {
  readonly kind: 'pflash';
  readonly state: SharedArrayBuffer;
  /** Bytes of it, which are the first of `contents`. */
  readonly size: number;
  readonly contents: SharedArrayBuffer;
  /** Bytes that are erased together. */
  readonly blockSize: number;
  /** Bytes of the data bus: one chip of 8 bits, or two of 16 beside each other. */
  readonly bankWidth: 1 | 4;
  /** Descriptor of the file that keeps the contents. */
  readonly file: number;
  /** For the environment's `attachRegion`: the contents as memory of the guest's. */
  readonly region: unknown;
}

export function createPflashState(): SharedArrayBuffer {
  const state = new SharedArrayBuffer(layout.size);
  layout.attach(state).status = READY;
  return state;
}

/**
 * The chips' bus side. Programming clears bits, erasing sets those of a block; both are in the file before the guest's next
 * instruction. Chips beside each other get the same commands at the same time, as drivers have them, so there is one state.
 */
export class Pflash implements BusDevice {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #contents: Uint8Array<SharedArrayBuffer>;
  readonly #blockSize: number;
  readonly #bankWidth: number;
  /** Bytes of a chip's word, of which it answers with the first. */
  readonly #wordBytes: 1 | 2;
  readonly #chipBufferSize: number;
  readonly #query: Uint8Array;
  readonly #file: number;
  readonly #region: RegionSwitch | undefined;

  /** @param region the contents as the guest reads them without an exit, hidden while that is not what it is to read */
  constructor(descriptor: PflashDescriptor, region?: RegionSwitch) {
    const { state, contents, size, blockSize, bankWidth, file } = descriptor;
    this.#state = layout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#contents = new Uint8Array(contents, 0, size);
    this.#blockSize = blockSize;
    this.#bankWidth = bankWidth;
    const chips = bankWidth === 4 ? 2 : 1;
    // One of 8 bits, or two of 16.
    this.#wordBytes = chips;
    this.#chipBufferSize = CHIP_BUFFER_SIZES[this.#wordBytes];
    this.#query = cfiQuery({
      chipSize: size / chips,
      blockSize: blockSize / chips,
      wordSize: chips === 2 ? 16 : 8,
      bufferSize: this.#chipBufferSize,
    });
    this.#file = file;
    this.#region = region;
  }

  read(access: BusAccess): void {
    this.#mutex.lock();
    try {
      const { mode, status } = this.#state;
      switch (mode) {
        case Mode.array:
          readBytes(access, (offset) => this.#contents[offset] ?? 0);
          break;
        case Mode.identifier:
          readBytes(access, (offset) => this.#answer(IDENTIFIER, offset));
          break;
        case Mode.query:
          readBytes(access, (offset) => this.#answer(this.#query, offset));
          break;
        default:
          readBytes(access, (offset) => (offset % this.#wordBytes === 0 ? status : 0));
      }
    } finally {
      this.#mutex.unlock();
    }
  }

  /** A wider access than the bus is several cycles; from a narrower one, all chips take what it has. */
  write(access: BusAccess): void {
    const { offset, size, low, high } = access;
    const step = Math.min(size, this.#bankWidth);
    this.#mutex.lock();
    try {
      for (let done = 0; done < size; done += step) {
        const value = done < 4 ? low >>> (8 * done) : high >>> (8 * (done - 4));
        this.#cycle(offset + done, value, step);
      }
    } finally {
      this.#mutex.unlock();
    }
  }

  /** What a chip answers with a table of one byte for each of its words, from the first in the block on. */
  #answer(table: Uint8Array, offset: number): number {
    const inBlock = offset % this.#blockSize;
    if (inBlock % this.#wordBytes !== 0) return 0;
    return table[Math.floor(inBlock / this.#bankWidth)] ?? 0;
  }

  /** A write of the lowest bytes of `value`. */
  #cycle(offset: number, value: number, bytes: number): void {
    const state = this.#state;
    const command = value & 0xff;
    switch (state.mode) {
      case Mode.program:
        this.#setMode(Mode.status);
        for (let i = 0; i < bytes; i++) this.#clearBits(offset + i, value >>> (8 * i));
        this.#store(offset, bytes, PROGRAM_ERROR);
        break;
      case Mode.erase:
        this.#setMode(Mode.status);
        if (command === CONFIRM && this.#blockOf(offset) === this.#blockOf(state.commandOffset))
          this.#erase(offset);
        else state.status = SEQUENCE_ERROR;
        break;
      case Mode.lock:
        // Blocks are not locked, and that stays so.
        this.#setMode(Mode.status);
        state.status = READY;
        break;
      case Mode.bufferCount:
        this.#openBuffer((this.#wordBytes === 2 ? value & 0xffff : command) + 1);
        break;
      case Mode.bufferStart:
        state.commandOffset = offset;
        this.#setMode(Mode.bufferData);
        this.#fillBuffer(offset, value, bytes);
        break;
      case Mode.bufferData:
        this.#fillBuffer(offset, value, bytes);
        break;
      case Mode.bufferConfirm:
        this.#setMode(Mode.status);
        if (command === CONFIRM) this.#programBuffer();
        else state.status = SEQUENCE_ERROR;
        break;
      default:
        this.#command(offset, command);
    }
  }

  #command(offset: number, command: number): void {
    const state = this.#state;
    state.commandOffset = offset;
    switch (command) {
      case WORD_PROGRAM:
      case WORD_PROGRAM_ALTERNATE:
        this.#setMode(Mode.program);
        break;
      case BLOCK_ERASE:
        this.#setMode(Mode.erase);
        break;
      case BLOCK_LOCK:
        this.#setMode(Mode.lock);
        break;
      case BUFFERED_PROGRAM:
        // Ready to be told how much there is.
        state.status |= READY;
        this.#setMode(Mode.bufferCount);
        break;
      case CLEAR_STATUS:
        // Firmware takes a status of zero after this for the sign that there is flash memory.
        state.status = 0;
        break;
      case READ_STATUS:
        this.#setMode(Mode.status);
        break;
      case READ_IDENTIFIER:
        this.#setMode(Mode.identifier);
        break;
      case READ_QUERY:
        this.#setMode(Mode.query);
        break;
      case READ_ARRAY:
        state.status = READY;
        this.#setMode(Mode.array);
        break;
      default:
        // Commands that the chips do not have lead back to their contents.
        this.#setMode(Mode.array);
    }
  }

  #setMode(mode: number): void {
    const state = this.#state;
    const before = state.mode;
    state.mode = mode;
    if (before === Mode.array && mode !== Mode.array) this.#region?.hide();
    if (before !== Mode.array && mode === Mode.array) this.#region?.show();
  }

  #blockOf(offset: number): number {
    return Math.floor(offset / this.#blockSize);
  }

  #openBuffer(words: number): void {
    const state = this.#state;
    if (words * this.#wordBytes > this.#chipBufferSize) {
      this.#setMode(Mode.status);
      state.status = SEQUENCE_ERROR;
      return;
    }
    state.bufferCycles = words;
    state.buffer.fill(0xff);
    this.#setMode(Mode.bufferStart);
  }

  /**
   * The first word said where the buffer goes; what would be before it, or behind its end, is not programmed. A word for
   * another block ends the command.
   */
  #fillBuffer(offset: number, value: number, bytes: number): void {
    const state = this.#state;
    if (this.#blockOf(offset) !== this.#blockOf(state.commandOffset)) {
      this.#setMode(Mode.status);
      state.status = SEQUENCE_ERROR;
      return;
    }
    for (let i = 0; i < bytes; i++) {
      const at = offset + i - state.commandOffset;
      if (at >= 0 && at < BUFFER_SIZE) state.buffer[at] = value >>> (8 * i);
    }
    state.bufferCycles--;
    if (state.bufferCycles === 0) this.#setMode(Mode.bufferConfirm);
  }

  #programBuffer(): void {
    const { commandOffset: start, buffer } = this.#state;
    const length = Math.min(BUFFER_SIZE, this.#contents.length - start);
    for (let i = 0; i < length; i++) this.#clearBits(start + i, buffer[i] ?? 0xff);
    this.#store(start, length, PROGRAM_ERROR);
  }

  #clearBits(offset: number, value: number): void {
    this.#contents[offset] = (this.#contents[offset] ?? 0) & value;
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
