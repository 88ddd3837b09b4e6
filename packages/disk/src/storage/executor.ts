import { AsyncFile, type Executor } from '@tsvmm/async';
import { SystemError } from '@tsvmm/base';
import { AsyncLock } from '../lock.ts';
import { type Segments, zeroSegments } from '../segments.ts';
import { FileStorage, type FileStorageOptions } from './file.ts';
import type { Pending, Storage } from './storage.ts';

/** What every device takes for a position, a length and an address under O_DIRECT, or says with EINVAL that it does not. */
const DIRECT_ALIGNMENT = 512;

/**
 * A file or block device on an executor of `@tsvmm/async`: data moves between it and the caller's segments, any number
 * of requests at a time, while the thread does something else. What the executor cannot do for it, which is rare, is
 * done at once as {@link FileStorage} does it.
 */
export class ExecutorStorage implements Storage {
  readonly #file: FileStorage;
  readonly #io: AsyncFile;
  readonly #isDirect: boolean;
  /**
   * What O_DIRECT cannot write as it is, is written together with what surrounds it: others must not change that
   * meanwhile. Those that need no such thing share.
   */
  readonly #surroundings = new AsyncLock();

  private constructor(executor: Executor, file: FileStorage, isDirect: boolean) {
    this.#file = file;
    this.#io = new AsyncFile(executor, file.descriptor, file.name);
    this.#isDirect = isDirect;
  }

  /**
   * Opens a file on an executor, which has to outlive it.
   * @throws DiskError OPEN_FAILED, LOCKED
   */
  static open(executor: Executor, path: string, options: FileStorageOptions = {}): ExecutorStorage {
    return new ExecutorStorage(executor, FileStorage.open(path, options), options.direct ?? false);
  }

  /**
   * {@link FileStorage.adopt} on an executor, which has to outlive it.
   * @throws DiskError OPEN_FAILED
   */
  static adopt(
    executor: Executor,
    fd: number,
    name: string,
    options: Pick<FileStorageOptions, 'writable' | 'direct'>,
  ): ExecutorStorage {
    return new ExecutorStorage(executor, FileStorage.adopt(fd, name, options), options.direct ?? false);
  }

  get name(): string {
    return this.#file.name;
  }

  get size(): number {
    return this.#file.size;
  }

  get readOnly(): boolean {
    return this.#file.readOnly;
  }

  get isFixedSize(): boolean {
    return this.#file.isFixedSize;
  }

  async read(position: number, segments: Segments): Promise<void> {
    if (this.#isDirect && !isAligned(position, segments)) {
      await this.#file.read(position, segments);
      return;
    }
    try {
      const done = await this.#live.read(position, segments);
      if (done < segments.byteLength) zeroSegments(segments, done, segments.byteLength - done);
    } catch (error) {
      if (!this.#isDirect || !isMisaligned(error)) throw error;
      await this.#file.read(position, segments);
    }
  }

  write(position: number, segments: Segments): Promise<void> {
    return this.#isDirect ? this.#writeDirect(position, segments) : this.#write(position, segments);
  }

  seekData(position: number): number {
    return this.#file.seekData(position);
  }

  seekHole(position: number): number {
    return this.#file.seekHole(position);
  }

  punchHole(position: number, length: number): Pending {
    return this.#zero('punchHole', position, length);
  }

  zero(position: number, length: number): Pending {
    return this.#zero('zeroRange', position, length);
  }

  discard(position: number, length: number): Pending {
    const end = Math.min(position + length, this.size);
    return end <= position ? undefined : this.#discard(position, end);
  }

  resize(size: number): Pending {
    return this.#file.resize(size);
  }

  sync(): Pending {
    return this.#live.sync(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  /** @throws DiskError CLOSED */
  get #live(): AsyncFile {
    // The descriptor's number may be another file's once this one is closed.
    this.#file.descriptor;
    return this.#io;
  }

  async #write(position: number, segments: Segments): Promise<void> {
    await this.#live.write(position, segments);
    this.#file.grewTo(position + segments.byteLength);
  }

  async #writeDirect(position: number, segments: Segments): Promise<void> {
    if (isAligned(position, segments)) {
      await this.#surroundings.acquireShared();
      try {
        await this.#write(position, segments);
        return;
      } catch (error) {
        if (!isMisaligned(error)) throw error;
      } finally {
        this.#surroundings.releaseShared();
      }
    }
    await this.#surroundings.acquireExclusive();
    try {
      this.#file.write(position, segments);
    } finally {
      this.#surroundings.releaseExclusive();
    }
  }

  #zero(mode: 'punchHole' | 'zeroRange', position: number, length: number): Pending {
    const end = Math.min(position + length, this.size);
    return end <= position ? undefined : this.#zeroTo(mode, position, end);
  }

  async #zeroTo(mode: 'punchHole' | 'zeroRange', position: number, end: number): Promise<void> {
    try {
      await this.#live.allocate(mode, position, end - position);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // It zeroes in another way where this one is refused, and otherwise fails with the reason.
      if (mode === 'punchHole') this.#file.punchHole(position, end - position);
      else this.#file.zero(position, end - position);
    }
  }

  async #discard(position: number, end: number): Promise<void> {
    try {
      await this.#live.discard(position, end - position);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#file.discard(position, end - position);
    }
  }
}

/** Whether the kernel may take a request under O_DIRECT as it is. Where a view's memory starts, only the kernel knows. */
function isAligned(position: number, { memory, pairs, count }: Segments): boolean {
  let bits = position % DIRECT_ALIGNMENT;
  for (let i = 0; i < count; i++) {
    bits |= (memory.byteOffset + (pairs[2 * i] ?? 0)) % DIRECT_ALIGNMENT;
    bits |= (pairs[2 * i + 1] ?? 0) % DIRECT_ALIGNMENT;
  }
  return bits === 0;
}

function isMisaligned(error: unknown): boolean {
  return error instanceof SystemError && error.code === 'EINVAL';
}
