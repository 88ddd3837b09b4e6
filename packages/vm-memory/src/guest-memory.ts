import { canShareWithProcesses, createFile, discard, isStable, mapFile, mapPages } from '#backing';
import { createAnonymous, sharedBufferOf } from './backing/anonymous.ts';
import { GuestMemoryError, hex } from './error.ts';
import {
  type FileRegion,
  type MemoryRegion,
  PAGE_SIZE,
  type PlacedRegion,
  placeRegions,
  type Span,
  spansOf,
} from './layout.ts';

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
  throw new GuestMemoryError('INVALID_LAYOUT', 'Guest memory needs a little-endian host');
}

/** How guest memory is made. */
export interface GuestMemoryOptions {
  /** Where RAM is, in any order. */
  readonly regions: readonly MemoryRegion[];
  /** The shared WebAssembly memory whose addresses RAM is to appear at; never grow it afterwards. A new one if absent. */
  readonly memory?: WebAssembly.Memory;
  /** Byte offset in `memory` at which RAM begins, a multiple of 4096; 0 when left out. */
  readonly memoryOffset?: number;
  /**
   * `file`: a sealed memory file (memfd) that other processes can map, the default where the platform has it;
   * `anonymous`: memory of this process.
   */
  readonly backing?: 'file' | 'anonymous';
}

/** Guest memory for another thread of this process: post it, and {@link GuestMemory.attach} there. */
export interface ThreadDescriptor {
  readonly kind: 'thread';
  readonly regions: readonly MemoryRegion[];
  readonly buffer: SharedArrayBuffer;
  readonly memoryOffset: number;
  readonly memory?: WebAssembly.Memory;
  /** The memory file, open as long as the memory that was created is. */
  readonly fd?: number;
}

/** Guest memory for another process: JSON, beside which the descriptor travels. */
export interface ProcessDescriptor {
  readonly kind: 'process';
  readonly regions: readonly MemoryRegion[];
  /** The memory file's number in the process that attaches: set it to what was received. */
  readonly fd: number;
  /** Set by the process that attaches when RAM is to appear in its WebAssembly memory. */
  readonly memory?: WebAssembly.Memory;
  readonly memoryOffset?: number;
}

export type GuestMemoryDescriptor = ThreadDescriptor | ProcessDescriptor;

interface Parts {
  readonly regions: readonly MemoryRegion[];
  readonly buffer: SharedArrayBuffer;
  readonly memoryOffset: number;
  readonly memory: WebAssembly.Memory | undefined;
  readonly fd: number | undefined;
  readonly file: Disposable | undefined;
}

/**
 * The guest's RAM by guest-physical address.
 *
 * Addresses and lengths come from the guest: everything here refuses what is not wholly in RAM (also negative,
 * fractional, infinite and NaN addresses) with {@link GuestMemoryError} OUT_OF_RANGE before touching anything. Fields are
 * little-endian and, except for the atomic accesses, may lie at any address.
 *
 * Other threads, processes and the guest change RAM at any time: read a field once, check it, and use what was checked.
 */
export class GuestMemory implements Disposable {
  /** In the order of their addresses. */
  readonly regions: readonly PlacedRegion[];
  /** Bytes of RAM. */
  readonly size: number;
  /** The first guest-physical address after all RAM. */
  readonly end: number;
  /** The memory that holds RAM, at `memoryOffset` and after it, and whatever else its maker put there. */
  readonly buffer: SharedArrayBuffer;
  /** All bytes of `buffer`: with {@link hostOffset}, what `preadv` of @tsvmm/base takes. */
  readonly hostBytes: Uint8Array<SharedArrayBuffer>;
  /** Byte offset of the first region in `buffer`. */
  readonly memoryOffset: number;
  /** The WebAssembly memory that was given. */
  readonly memory: WebAssembly.Memory | undefined;
  /** The memory file, if there is one; `fileOffset` of each region says where its bytes are. */
  readonly fd: number | undefined;

  readonly #file: Disposable | undefined;
  readonly #view: DataView<SharedArrayBuffer>;
  readonly #words16: Uint16Array<SharedArrayBuffer>;
  readonly #words32: Uint32Array<SharedArrayBuffer>;
  readonly #spans: readonly Span[];
  /** The span of the last access: nearly every access goes where the one before it went. */
  #span: Span;

  private constructor(parts: Parts) {
    const { buffer, memoryOffset } = parts;
    this.regions = placeRegions(parts.regions, memoryOffset);
    this.size = this.regions.reduce((sum, region) => sum + region.size, 0);
    const last = this.regions.at(-1);
    this.end = last ? last.base + last.size : 0;
    if (memoryOffset + this.size > buffer.byteLength) {
      throw new GuestMemoryError(
        'INVALID_LAYOUT',
        `${hex(this.size)} bytes of RAM at offset ${hex(memoryOffset)} do not fit in a memory of ${hex(buffer.byteLength)} bytes`,
      );
    }
    this.buffer = buffer;
    this.memoryOffset = memoryOffset;
    this.memory = parts.memory;
    this.fd = parts.fd;
    this.#file = parts.file;
    this.hostBytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#words16 = new Uint16Array(buffer, 0, Math.floor(buffer.byteLength / 2));
    this.#words32 = new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    this.#spans = spansOf(this.regions);
    const [first] = this.#spans;
    if (!first) throw new GuestMemoryError('INVALID_LAYOUT', 'Guest memory needs at least one region');
    this.#span = first;
  }

  /**
   * Makes zeroed RAM. Host memory is occupied as pages are first written.
   * @throws {GuestMemoryError} INVALID_LAYOUT, NOT_SHAREABLE
   * @throws {SystemError} of @tsvmm/base when the host refuses
   */
  static create(options: GuestMemoryOptions): GuestMemory {
    const { regions, memory, memoryOffset = 0 } = options;
    const backing = options.backing ?? (canShareWithProcesses ? 'file' : 'anonymous');
    const size = checkedSize(regions, memory, memoryOffset);
    const target = memory && { buffer: sharedBufferOf(memory), offset: memoryOffset };
    if (backing === 'anonymous') {
      const buffer = target?.buffer ?? createAnonymous(size);
      return new GuestMemory({ regions, buffer, memoryOffset, memory, fd: undefined, file: undefined });
    }
    const file = createFile(size);
    try {
      const buffer = mapFile(file.number, size, target);
      return new GuestMemory({ regions, buffer, memoryOffset, memory, fd: file.number, file });
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Uses memory that another thread or process made. It leaves the descriptor's `fd` open, and its caller's.
   * @throws {GuestMemoryError} INVALID_LAYOUT when the file is smaller than its regions, or could become so
   */
  static attach(descriptor: GuestMemoryDescriptor): GuestMemory {
    const { regions, memory, memoryOffset = 0, fd } = descriptor;
    if (descriptor.kind === 'thread') {
      return new GuestMemory({
        regions,
        buffer: descriptor.buffer,
        memoryOffset,
        memory,
        fd,
        file: undefined,
      });
    }
    const size = checkedSize(regions, memory, memoryOffset);
    if (!isStable(descriptor.fd, size)) {
      throw new GuestMemoryError(
        'INVALID_LAYOUT',
        `The memory file must have at least ${size} bytes and a sealed size; pass the one that its maker's 'fd' names`,
      );
    }
    const target = memory && { buffer: sharedBufferOf(memory), offset: memoryOffset };
    const buffer = mapFile(descriptor.fd, size, target);
    return new GuestMemory({ regions, buffer, memoryOffset, memory, fd, file: undefined });
  }

  /**
   * Uses RAM whose regions are in files of somebody who is trusted with them, such as the front end of a vhost-user device:
   * when one of the files shrinks, accesses end the process. The files can be closed afterwards.
   * @throws {GuestMemoryError} INVALID_LAYOUT
   * @throws {SystemError} of @tsvmm/base when a file cannot be mapped
   */
  static mapFiles(regions: readonly FileRegion[]): GuestMemory {
    const size = checkedSize(regions, undefined, 0);
    const buffer = createAnonymous(size);
    const memory = new GuestMemory({
      regions,
      buffer,
      memoryOffset: 0,
      memory: undefined,
      fd: undefined,
      file: undefined,
    });
    const sorted = regions.toSorted((a, b) => a.base - b.base);
    for (const [index, { fd, fileOffset }] of sorted.entries()) {
      const placed = memory.regions[index];
      if (placed !== undefined) mapPages(fd, fileOffset, placed.size, { buffer, offset: placed.hostOffset });
    }
    return memory;
  }

  /** Plain data for `postMessage` or `workerData`, from which another thread attaches. */
  descriptor(): ThreadDescriptor {
    const { buffer, memoryOffset, memory, fd } = this;
    return {
      kind: 'thread',
      regions: this.#plainRegions(),
      buffer,
      memoryOffset,
      ...(memory && { memory }),
      ...(fd !== undefined && { fd }),
    };
  }

  /**
   * JSON from which another process attaches, once it has replaced `fd` by the number under which it received that file.
   * @throws {GuestMemoryError} NOT_SHAREABLE when the memory is not backed by a file
   */
  processDescriptor(): ProcessDescriptor {
    if (this.fd === undefined) {
      throw new GuestMemoryError('NOT_SHAREABLE', "Create the guest memory with backing 'file' to share it");
    }
    return { kind: 'process', regions: this.#plainRegions(), fd: this.fd };
  }

  #plainRegions(): MemoryRegion[] {
    return this.regions.map(({ base, size }) => ({ base, size }));
  }

  /** Closes the memory file if this made it. The bytes stay for as long as any thread has the buffer. */
  [Symbol.dispose](): void {
    this.#file?.[Symbol.dispose]();
  }

  // ---- Addresses

  /** The offset in `buffer` of `length` bytes of RAM that begin at `address`. */
  hostOffset(address: number, length: number): number {
    // A fraction of a byte must not pass for a length; the other kinds of nonsense fail the comparisons.
    if (Math.floor(length) !== length || length < 0) throw outOfRange(address, length);
    return this.#offset(address, length);
  }

  /** Whether `length` bytes from `address` are RAM. */
  contains(address: number, length: number): boolean {
    if (Math.floor(address) !== address || Math.floor(length) !== length || length < 0) return false;
    return this.#find(address, length) !== undefined;
  }

  /** `length` is a whole number, at least 0. */
  #offset(address: number, length: number): number {
    let span = this.#span;
    // In this order NaN, infinities and every overflow are refused: no sum is formed from unchecked values.
    if (!(address >= span.start && address <= span.end - length)) span = this.#seek(address, length);
    if (Math.floor(address) !== address) throw outOfRange(address, length);
    return address + span.shift;
  }

  #seek(address: number, length: number): Span {
    const span = this.#find(address, length);
    if (!span) throw outOfRange(address, length);
    this.#span = span;
    return span;
  }

  #find(address: number, length: number): Span | undefined {
    const spans = this.#spans;
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const span = spans[middle];
      if (span === undefined || address < span.start) high = middle;
      else if (address >= span.start && address <= span.end - length) return span;
      else low = middle + 1;
    }
    return undefined;
  }

  // ---- Fields

  readUint8(address: number): number {
    return this.#view.getUint8(this.#offset(address, 1));
  }

  readUint16(address: number): number {
    return this.#view.getUint16(this.#offset(address, 2), true);
  }

  readUint32(address: number): number {
    return this.#view.getUint32(this.#offset(address, 4), true);
  }

  /** A 64-bit field: the low 32 bits into `words[index]`, the high ones into `words[index + 1]`. */
  readUint64(address: number, words: Uint32Array, index = 0): void {
    const offset = this.#offset(address, 8);
    words[index] = this.#view.getUint32(offset, true);
    words[index + 1] = this.#view.getUint32(offset + 4, true);
  }

  /** A 64-bit field whose value must be at most 2^53 - 1: an address or a length. */
  readUint53(address: number): number {
    const offset = this.#offset(address, 8);
    const low = this.#view.getUint32(offset, true);
    const high = this.#view.getUint32(offset + 4, true);
    if (high > 0x1fffff) {
      throw new GuestMemoryError(
        'VALUE_TOO_LARGE',
        `The 64-bit field at ${hex(address)} has bits above the 53rd: high word ${hex(high)}, low word ${hex(low)}`,
      );
    }
    return high * 0x100000000 + low;
  }

  /** Writes the low 8 bits of `value`. */
  writeUint8(address: number, value: number): void {
    this.#view.setUint8(this.#offset(address, 1), value);
  }

  /** Writes the low 16 bits of `value`. */
  writeUint16(address: number, value: number): void {
    this.#view.setUint16(this.#offset(address, 2), value, true);
  }

  /** Writes the low 32 bits of `value`. */
  writeUint32(address: number, value: number): void {
    this.#view.setUint32(this.#offset(address, 4), value, true);
  }

  /** Writes a 64-bit field from its low and its high 32 bits. */
  writeUint64(address: number, low: number, high: number): void {
    const offset = this.#offset(address, 8);
    this.#view.setUint32(offset, low, true);
    this.#view.setUint32(offset + 4, high, true);
  }

  /** Writes a whole number from 0 to 2^53 - 1 to a 64-bit field. */
  writeUint53(address: number, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new GuestMemoryError('VALUE_TOO_LARGE', `${value} is not a whole number from 0 to 2^53 - 1`);
    }
    this.writeUint64(address, value >>> 0, Math.floor(value / 0x100000000));
  }

  // ---- Fields that other threads, processes and the guest synchronise by

  /** Reads a field at an even address; what was written before it by who stored it is visible afterwards (acquire). */
  loadUint16(address: number): number {
    return Atomics.load(this.#words16, this.#aligned(address, 2) / 2);
  }

  /** Writes a field at an even address; all earlier writes are visible to who loads it (release). */
  storeUint16(address: number, value: number): void {
    Atomics.store(this.#words16, this.#aligned(address, 2) / 2, value);
  }

  /** {@link loadUint16} of 32 bits, at a multiple of 4. */
  loadUint32(address: number): number {
    return Atomics.load(this.#words32, this.#aligned(address, 4) / 4);
  }

  /** {@link storeUint16} of 32 bits, at a multiple of 4. */
  storeUint32(address: number, value: number): void {
    Atomics.store(this.#words32, this.#aligned(address, 4) / 4, value);
  }

  /** Writes `value` if the field still is `expected`, in one step; returns what it was. At a multiple of 4. */
  compareExchangeUint32(address: number, expected: number, value: number): number {
    return Atomics.compareExchange(this.#words32, this.#aligned(address, 4) / 4, expected, value);
  }

  #aligned(address: number, width: number): number {
    // RAM begins at a multiple of the page size in the buffer, so the offset is as aligned as the address.
    const offset = this.#offset(address, width);
    if (offset % width !== 0) {
      throw new GuestMemoryError(
        'UNALIGNED',
        `An atomic access of ${width} bytes at ${hex(address)} is not aligned`,
      );
    }
    return offset;
  }

  // ---- Many bytes

  /** A view of RAM, not a copy. */
  bytes(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.buffer, this.hostOffset(address, length), length);
  }

  /** Copies `source` to RAM. */
  copyIn(address: number, source: Uint8Array): void {
    this.hostBytes.set(source, this.#offset(address, source.length));
  }

  /** Fills `target` from RAM. */
  copyOut(address: number, target: Uint8Array): void {
    const offset = this.#offset(address, target.length);
    target.set(this.hostBytes.subarray(offset, offset + target.length));
  }

  /** Copies within RAM; the ranges may overlap. */
  copyWithin(to: number, from: number, length: number): void {
    const source = this.hostOffset(from, length);
    this.hostBytes.copyWithin(this.hostOffset(to, length), source, source + length);
  }

  /** Sets `length` bytes to the low 8 bits of `value`. */
  fill(address: number, length: number, value: number): void {
    const offset = this.hostOffset(address, length);
    this.hostBytes.fill(value, offset, offset + length);
  }

  /**
   * Zeroes whole pages of 4096 bytes and gives their memory back to the host.
   * @throws {GuestMemoryError} UNALIGNED when the range is not made of whole pages
   */
  discard(address: number, length: number): void {
    const offset = this.hostOffset(address, length);
    if (address % PAGE_SIZE !== 0) throw notWholePages(address, length);
    this.discardHost(offset, length);
  }

  /**
   * {@link discard} of what is at `offset` in `buffer`, as {@link hostOffset} gives it: for ranges that are known to be RAM.
   * @throws {GuestMemoryError} UNALIGNED when the range is not made of whole pages
   */
  discardHost(offset: number, length: number): void {
    if (offset % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0) throw notWholePages(offset, length);
    if (length > 0) discard(this.buffer, offset, length);
  }
}

/** Bytes of all regions, when these and the place in `memory` make sense. */
function checkedSize(
  regions: readonly MemoryRegion[],
  memory: WebAssembly.Memory | undefined,
  memoryOffset: number,
): number {
  if (memoryOffset !== 0 && memory === undefined) {
    throw new GuestMemoryError('INVALID_LAYOUT', 'A memory offset needs the memory it is an offset in');
  }
  const size = placeRegions(regions, memoryOffset).reduce((sum, region) => sum + region.size, 0);
  if (memory && memoryOffset + size > memory.buffer.byteLength) {
    throw new GuestMemoryError(
      'INVALID_LAYOUT',
      `${hex(size)} bytes of RAM at offset ${hex(memoryOffset)} do not fit in a WebAssembly memory of ` +
        `${hex(memory.buffer.byteLength)} bytes: make it larger`,
    );
  }
  return size;
}

function notWholePages(start: number, length: number): GuestMemoryError {
  return new GuestMemoryError(
    'UNALIGNED',
    `Only whole pages can be discarded, not ${length} bytes at ${hex(start)}`,
  );
}

function outOfRange(address: number, length: number): GuestMemoryError {
  return new GuestMemoryError(
    'OUT_OF_RANGE',
    `${length} bytes at guest-physical address ${hex(address)} are not RAM`,
  );
}
