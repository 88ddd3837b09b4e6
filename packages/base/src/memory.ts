import { fstatSync } from 'node:fs';
import { FileDescriptor } from './descriptor.ts';
import { SystemError } from './error.ts';
import { native } from './native.ts';

/** Bytes of a page of the host's memory. */
export const pageSize = native.pageSize;

/** Bytes of a page of a WebAssembly.Memory. */
const WASM_PAGE = 0x10000;

/** How a {@link MemFd} is made. */
export interface MemFdOptions {
  /** Shown in /proc/PID/maps, for people. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Whether nobody may change the size any more, so that no mapping of it can break. True when left out. */
  readonly seal?: boolean;
  /** Bytes of the huge pages it is made of (a power of two that the host has), ordinary pages when left out. */
  readonly hugePageSize?: number;
}

/** A file that is nothing but memory, for sharing between processes and mapping at several places. */
export class MemFd implements Disposable {
  readonly descriptor: FileDescriptor;
  /** Bytes. */
  readonly size: number;

  /** Takes over a descriptor, for example one that was received from a socket. */
  constructor(descriptor: FileDescriptor) {
    this.descriptor = descriptor;
    this.size = fstatSync(descriptor.number).size;
  }

  static create(options: MemFdOptions): MemFd {
    const { name, size, seal = true, hugePageSize } = options;
    const shift = hugePageSize === undefined ? 0 : Math.log2(hugePageSize);
    if (!Number.isInteger(shift) || (hugePageSize !== undefined && size % hugePageSize !== 0)) {
      throw new SystemError(
        22,
        'memfd_create',
        `The huge page size must be a power of two that divides the size; it is ${hugePageSize}`,
      );
    }
    return new MemFd(new FileDescriptor(native.createMemory(name, size, seal, shift)));
  }

  /** Whether nobody can make it smaller under a mapping, which would end this process by SIGBUS. Check it for others'. */
  get isSizeSealed(): boolean {
    return native.isSizeSealed(this.descriptor.number);
  }

  [Symbol.dispose](): void {
    this.descriptor[Symbol.dispose]();
  }
}

/** Whether a mapping may be written. Writing to one that may not ends the process by SIGSEGV, it does not throw. */
export interface MapOptions {
  readonly readOnly?: boolean;
}

/**
 * Puts a shared mapping of a file in the place of a part of a buffer, so that the file's bytes appear at that range of a
 * WebAssembly memory's addresses, in all threads that share it.
 *
 * The buffer must be that of a `WebAssembly.Memory` (others are not made of whole pages) that is not grown afterwards.
 * @param byteOffset where in `target`; with `length` and `fdOffset` a multiple of {@link pageSize}
 * @throws {SystemError} EINVAL for a range outside of the buffer or the file, or between pages
 */
export function mapInto(
  target: ArrayBufferLike,
  byteOffset: number,
  length: number,
  fd: number,
  fdOffset = 0,
  options: MapOptions = {},
): void {
  native.mapInto(new Uint8Array(target), byteOffset, length, fd, fdOffset, options.readOnly ?? false);
}

/** Undoes {@link mapInto}: the range becomes zeroed memory of this process alone. */
export function unmapFrom(target: ArrayBufferLike, byteOffset: number, length: number): void {
  native.unmapFrom(new Uint8Array(target), byteOffset, length);
}

/**
 * A new shared mapping of a file for the calling thread; it ends when the buffer is collected as garbage. Posting the
 * buffer to another thread copies it: {@link mapShared} is for that.
 */
export function map(fd: number, fdOffset: number, length: number, options: MapOptions = {}): ArrayBuffer {
  return native.mapBuffer(fd, fdOffset, length, options.readOnly ?? false);
}

/** A mapping that may be posted to other threads. The buffer can be larger than the mapping, never smaller. */
export interface SharedMapping {
  readonly buffer: SharedArrayBuffer;
  /** Bytes from the start of `buffer`; what follows them is unrelated zeroed memory. */
  readonly byteLength: number;
}

/** A new shared mapping of a file for all threads it is posted to; it ends when none of them has the buffer any more. */
export function mapShared(
  fd: number,
  fdOffset: number,
  length: number,
  options: MapOptions = {},
): SharedMapping {
  const readOnly = options.readOnly ?? false;
  const buffer = native.mapShared(fd, fdOffset, length, readOnly);
  return buffer ? { buffer, byteLength: length } : mapIntoNewMemory(fd, fdOffset, length, readOnly);
}

/**
 * {@link mapShared} where the engine takes no foreign memory for a SharedArrayBuffer: maps over a WebAssembly memory's.
 * Needs `length` to be a multiple of the page size.
 */
export function mapIntoNewMemory(
  fd: number,
  fdOffset: number,
  length: number,
  readOnly: boolean,
): SharedMapping {
  const pages = Math.max(1, Math.ceil(length / WASM_PAGE));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  // The library's types do not say that the buffer of such a memory is shared.
  const buffer: ArrayBufferLike = memory.buffer;
  if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError('this engine has no shared memories');
  native.mapInto(new Uint8Array(buffer), 0, length, fd, fdOffset, readOnly);
  return { buffer, byteLength: length };
}

/**
 * Gives whole pages back to the host: the range reads as zero afterwards. For a mapped file that is a hole in the file,
 * seen by everybody who maps it. The range must not straddle the edge of a mapping.
 */
export function discard(target: ArrayBufferLike, byteOffset: number, length: number): void {
  native.discardMemory(new Uint8Array(target), byteOffset, length);
}

const ADVICE = { hugePages: 0, noHugePages: 1, noCoreDump: 2 } as const;

/** Tells the kernel how a range of whole pages is used. */
export function advise(
  target: ArrayBufferLike,
  byteOffset: number,
  length: number,
  advice: keyof typeof ADVICE,
): void {
  native.adviseMemory(new Uint8Array(target), byteOffset, length, ADVICE[advice]);
}

/** How many host pages of a range of whole pages are in memory. */
export function residentPages(target: ArrayBufferLike, byteOffset: number, length: number): number {
  return native.residentPages(new Uint8Array(target), byteOffset, length);
}
