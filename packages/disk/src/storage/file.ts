import {
  closeSync,
  constants,
  fdatasync as fdatasyncInPool,
  fstatSync,
  ftruncateSync,
  openSync,
  readv as readvInPool,
} from 'node:fs';
import {
  blockDeviceSize,
  discardBlocks,
  fallocate,
  preadv,
  pwritev,
  reasonOf,
  SystemError,
  seekData,
  seekHole,
  zeroBlocks,
} from '@tsvmm/base';
import { DiskError } from '../errors.ts';
import { gather, SegmentList, type Segments, scatter, zeroSegments } from '../segments.ts';
import { lockImage } from './lock.ts';
import type { Pending, Storage } from './storage.ts';

/** How a {@link FileStorage} is opened. */
export interface FileStorageOptions {
  /** Opens for writing too; false unless given. */
  readonly writable?: boolean;
  /** Makes the file, or empties the one that is there. Implies `writable`. */
  readonly create?: boolean;
  /** Refuses a file that another program uses: shared for readers, exclusive for a writer; true unless given. */
  readonly lock?: boolean;
  /** Bypasses the host's page cache (O_DIRECT); false unless given. */
  readonly direct?: boolean;
}

/** What is zeroed by writing, where the file system cannot do it, goes in pieces of these bytes. */
const ZEROES = new Uint8Array(64 * 1024);
/** Reads of at least so many bytes are worth the trip to Node's thread pool: something else can be done meanwhile. */
const POOLED_LENGTH = 256 * 1024;
/** Sectors of every device in use divide it. */
const DIRECT_ALIGNMENT = 4096;
const BOUNCE_LENGTH = 1024 * 1024;

/**
 * A file or block device.
 *
 * Data moves by `preadv` and `pwritev` on the calling thread. That takes a few microseconds where the page cache has the
 * data, a tenth of what a trip through Node's thread pool takes; whoever must not wait for the device opens its disks on
 * a worker thread, as the VMM does. Through the pool go `sync`, which always waits for the device, and long reads, during
 * which the caller can do something else.
 */
export class FileStorage implements Storage {
  readonly name: string;
  readonly readOnly: boolean;
  readonly isFixedSize: boolean;
  readonly #isDirect: boolean;
  readonly #range = new SegmentList();
  #fd: number;
  #size: number;
  #bounce: Uint8Array | undefined;

  private constructor(fd: number, name: string, options: FileStorageOptions) {
    const stat = fstatSync(fd);
    if (!stat.isFile() && !stat.isBlockDevice()) {
      throw new DiskError('OPEN_FAILED', `${name} is neither a file nor a block device.`);
    }
    this.#fd = fd;
    this.name = name;
    this.readOnly = !(options.writable || options.create);
    this.isFixedSize = stat.isBlockDevice();
    this.#size = this.isFixedSize ? blockDeviceSize(fd) : stat.size;
    this.#isDirect = options.direct ?? false;
  }

  /** @throws DiskError OPEN_FAILED, LOCKED */
  static open(path: string, options: FileStorageOptions = {}): FileStorage {
    const { writable = false, create = false, lock = true, direct = false } = options;
    const flags =
      (create ? constants.O_RDWR | constants.O_CREAT : writable ? constants.O_RDWR : constants.O_RDONLY) |
      (direct ? constants.O_DIRECT : 0);
    let fd = -1;
    try {
      fd = openSync(path, flags, 0o644);
      const storage = new FileStorage(fd, path, options);
      if (lock) lockImage(fd, path, storage.readOnly);
      if (create && !storage.isFixedSize) storage.resize(0);
      return storage;
    } catch (cause) {
      if (fd >= 0) closeSync(fd);
      if (cause instanceof DiskError) throw cause;
      throw openFailure(
        path,
        create ? 'created' : writable ? 'opened for reading and writing' : 'opened for reading',
        cause,
      );
    }
  }

  /**
   * Takes over a descriptor that somebody opened, and locked if need be, with these options.
   * @throws DiskError OPEN_FAILED when it is neither a file nor a block device
   */
  static adopt(
    fd: number,
    name: string,
    options: Pick<FileStorageOptions, 'writable' | 'direct'>,
  ): FileStorage {
    return new FileStorage(fd, name, options);
  }

  get size(): number {
    return this.#size;
  }

  /** Of the open file. @throws DiskError CLOSED */
  get descriptor(): number {
    if (this.#fd < 0) throw new DiskError('CLOSED', `${this.name} was closed.`);
    return this.#fd;
  }

  /** Tells that somebody wrote through the descriptor up to `end`. */
  grewTo(end: number): void {
    this.#size = Math.max(this.#size, end);
  }

  read(position: number, segments: Segments): Pending {
    const { memory, pairs, count, byteLength } = segments;
    if (byteLength >= POOLED_LENGTH && !this.#isDirect) return this.#readInPool(position, segments);
    const done = this.#isDirect
      ? this.#readDirect(position, segments)
      : preadv(this.descriptor, position, memory, pairs, count);
    if (done < byteLength) zeroSegments(segments, done, byteLength - done);
    return undefined;
  }

  write(position: number, segments: Segments): undefined {
    const { memory, pairs, count, byteLength } = segments;
    if (this.#isDirect) this.#writeDirect(position, segments);
    else pwritev(this.descriptor, position, memory, pairs, count);
    this.grewTo(position + byteLength);
    return undefined;
  }

  seekData(position: number): number {
    if (this.isFixedSize) return position;
    try {
      return Math.max(position, seekData(this.descriptor, position) ?? this.#size);
    } catch (error) {
      if (!isRefused(error)) throw error;
      return position;
    }
  }

  seekHole(position: number): number {
    if (this.isFixedSize) return this.#size;
    try {
      return seekHole(this.descriptor, position) ?? this.#size;
    } catch (error) {
      if (!isRefused(error)) throw error;
      return this.#size;
    }
  }

  punchHole(position: number, length: number): undefined {
    return this.#zero('punchHole', position, length);
  }

  zero(position: number, length: number): undefined {
    return this.#zero('zeroRange', position, length);
  }

  discard(position: number, length: number): undefined {
    const end = Math.min(position + length, this.#size);
    if (end <= position) return undefined;
    try {
      if (this.isFixedSize) this.#discardBlocks(position, end);
      else fallocate(this.descriptor, 'punchHole', position, end - position);
    } catch (error) {
      // A discard is advice.
      if (!isRefused(error)) throw error;
    }
    return undefined;
  }

  resize(size: number): undefined {
    if (this.isFixedSize) {
      throw new DiskError('UNSUPPORTED', `${this.name} is a block device, whose size is fixed.`);
    }
    ftruncateSync(this.descriptor, size);
    this.#size = size;
    return undefined;
  }

  sync(): Pending {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    fdatasyncInPool(this.descriptor, (error) => {
      if (error) reject(error);
      else resolve();
    });
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    closeSync(fd);
  }

  /** Whole blocks only: what is around them is somebody's data. */
  #discardBlocks(position: number, end: number): void {
    const first = roundUp(position);
    const last = end - (end % DIRECT_ALIGNMENT);
    if (last > first) discardBlocks(this.descriptor, first, last - first);
  }

  #zero(mode: 'punchHole' | 'zeroRange', position: number, length: number): undefined {
    const end = Math.min(position + length, this.#size);
    if (end <= position) return undefined;
    // Devices zero whole blocks; files anything.
    const first = this.isFixedSize ? Math.min(roundUp(position), end) : position;
    const last = this.isFixedSize ? Math.max(first, end - (end % DIRECT_ALIGNMENT)) : end;
    this.#writeZeroes(position, first - position);
    if (last > first) {
      try {
        if (this.isFixedSize) zeroBlocks(this.descriptor, first, last - first);
        else fallocate(this.descriptor, mode, first, last - first);
      } catch (error) {
        if (!isRefused(error)) throw error;
        this.#writeZeroes(first, last - first);
      }
    }
    this.#writeZeroes(last, end - last);
    return undefined;
  }

  #writeZeroes(position: number, length: number): void {
    for (let done = 0; done < length; done += ZEROES.length) {
      const part = Math.min(ZEROES.length, length - done);
      this.write(position + done, this.#range.setSlice(ZERO_SEGMENTS, 0, part));
    }
  }

  async #readInPool(position: number, segments: Segments): Promise<void> {
    const { memory, pairs, count, byteLength } = segments;
    const buffers: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const offset = pairs[2 * i] ?? 0;
      buffers.push(memory.subarray(offset, offset + (pairs[2 * i + 1] ?? 0)));
    }
    const done = await new Promise<number>((resolve, reject) => {
      readvInPool(this.descriptor, buffers, position, (error, bytesRead) => {
        if (error) reject(error);
        else resolve(bytesRead);
      });
    });
    if (done === byteLength) return;
    // The end of the file, or of what the kernel moves at once.
    const rest = new SegmentList().setSlice(segments, done, byteLength - done);
    const more = preadv(this.descriptor, position + done, rest.memory, rest.pairs, rest.count);
    if (done + more < byteLength) zeroSegments(segments, done + more, byteLength - done - more);
  }

  /** The kernel takes aligned requests into aligned memory only; what is not, goes through memory that is. */
  #readDirect(position: number, segments: Segments): number {
    if (isAligned(position, segments)) {
      try {
        return preadv(this.descriptor, position, segments.memory, segments.pairs, segments.count);
      } catch (error) {
        if (!(error instanceof SystemError) || error.code !== 'EINVAL') throw error;
      }
    }
    const bounce = this.#bounceBuffer();
    let done = 0;
    while (done < segments.byteLength) {
      const skip = (position + done) % DIRECT_ALIGNMENT;
      const wanted = Math.min(segments.byteLength - done, bounce.length - skip);
      const got = this.#transferBounce(position + done - skip, roundUp(skip + wanted)) - skip;
      if (got <= 0) break;
      scatter(segments, done, bounce.subarray(skip, skip + Math.min(got, wanted)));
      done += Math.min(got, wanted);
      if (got < wanted) break;
    }
    return done;
  }

  #writeDirect(position: number, segments: Segments): void {
    if (isAligned(position, segments)) {
      try {
        pwritev(this.descriptor, position, segments.memory, segments.pairs, segments.count);
        return;
      } catch (error) {
        if (!(error instanceof SystemError) || error.code !== 'EINVAL') throw error;
      }
    }
    const bounce = this.#bounceBuffer();
    const finalSize = Math.max(this.#size, position + segments.byteLength);
    for (let done = 0; done < segments.byteLength; ) {
      const skip = (position + done) % DIRECT_ALIGNMENT;
      const start = position + done - skip;
      const part = Math.min(segments.byteLength - done, bounce.length - skip);
      const length = roundUp(skip + part);
      if (length !== part) {
        const got = this.#transferBounce(start, length);
        bounce.fill(0, got, length);
      }
      gather(segments, done, bounce.subarray(skip, skip + part));
      pwritev(this.descriptor, start, bounce, Float64Array.of(0, length), 1);
      done += part;
    }
    if (!this.isFixedSize && fstatSync(this.descriptor).size > finalSize) {
      ftruncateSync(this.descriptor, finalSize);
    }
  }

  #transferBounce(position: number, length: number): number {
    return preadv(this.descriptor, position, this.#bounceBuffer(), Float64Array.of(0, length), 1);
  }

  /** Pages of memory, which are as aligned as any device wants. */
  #bounceBuffer(): Uint8Array {
    if (!this.#bounce) {
      // WebAssembly's memory: a memory file cannot be made in a jail.
      const pages = BOUNCE_LENGTH / 65_536;
      const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      this.#bounce = new Uint8Array(memory.buffer);
    }
    return this.#bounce;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not (EACCES); change its permissions, or run as a user who may',
  EPERM: 'this user may not (EPERM); change its permissions, or run as a user who may',
  EISDIR: 'it is a directory (EISDIR)',
  ELOOP: 'its symbolic links lead to each other (ELOOP)',
  ENOENT: 'it does not exist, or the folder it is in does not (ENOENT); check the path',
  ENOTDIR: 'a part of its path is no folder (ENOTDIR); check the path',
  ENOSPC: 'the disk is full (ENOSPC)',
  EROFS: 'its file system is mounted read-only (EROFS)',
};

/** What is said of a file that cannot be had. */
export function openFailure(path: string, how: string, cause: unknown): DiskError {
  return new DiskError('OPEN_FAILED', `${path} cannot be ${how}: ${reasonOfFailure(cause)}`, { cause });
}

function reasonOfFailure(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return REASONS[code] ?? reasonOf(cause);
}

const ZERO_SEGMENTS = SegmentList.of(ZEROES);

function roundUp(length: number): number {
  return Math.ceil(length / DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT;
}

/** Whether the kernel may take a request as it is. Whether the memory is aligned only the kernel knows. */
function isAligned(position: number, segments: Segments): boolean {
  let bits = position % DIRECT_ALIGNMENT;
  for (let i = 0; i < segments.count; i++) bits |= (segments.pairs[2 * i + 1] ?? 0) % DIRECT_ALIGNMENT;
  return bits === 0;
}

/** What file systems and devices that cannot zero or free ranges say. */
function isRefused(error: unknown): boolean {
  return (
    error instanceof SystemError &&
    ['ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS', 'ENOTTY'].includes(error.code)
  );
}
