import { SystemError } from '@tsvmm/base';
import { type AllocationMode, type Completion, type Executor, NO_ROOM, type Segments } from './executor.ts';

/** How many bytes `target` has as segments, which are itself if it is some already. */
function toSegments(bytes: Uint8Array | Segments): Segments {
  if (!(bytes instanceof Uint8Array)) return bytes;
  const { length } = bytes;
  return {
    memory: bytes,
    pairs: Float64Array.of(0, length),
    count: length === 0 ? 0 : 1,
    byteLength: length,
  };
}

/**
 * A file's operations as promises, for whoever does not count allocations. It waits for room in its executor. The
 * descriptor stays the caller's, and has to stay open until the promises have settled.
 */
export class AsyncFile implements Completion {
  readonly executor: Executor;
  readonly descriptor: number;
  /** For messages: usually the path. */
  readonly name: string;
  readonly #waiting: (PromiseWithResolvers<number> | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(executor: Executor, descriptor: number, name: string) {
    this.executor = executor;
    this.descriptor = descriptor;
    this.name = name;
  }

  /**
   * Fills the target from `position` on. @returns bytes: fewer than asked for only at the file's end
   * @throws SystemError
   */
  async read(position: number, target: Uint8Array | Segments): Promise<number> {
    const segments = toSegments(target);
    const result = await this.#run((token) =>
      this.executor.read(this.descriptor, position, segments, this, token),
    );
    return this.#checked(result, 'preadv', `cannot read ${segments.byteLength} bytes at ${position}`);
  }

  /** Writes all of the source to `position` on. @throws SystemError */
  async write(position: number, source: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(source);
    const result = await this.#run((token) =>
      this.executor.write(this.descriptor, position, segments, this, token),
    );
    this.#checked(result, 'pwritev', `cannot write ${segments.byteLength} bytes at ${position}`);
  }

  /** @throws SystemError */
  async sync(dataOnly: boolean): Promise<void> {
    const result = await this.#run((token) => this.executor.sync(this.descriptor, dataOnly, this, token));
    this.#checked(result, dataOnly ? 'fdatasync' : 'fsync', 'cannot bring data to stable storage');
  }

  /** @throws SystemError ENOTSUP when the file system cannot */
  async allocate(mode: AllocationMode, position: number, length: number): Promise<void> {
    const result = await this.#run((token) =>
      this.executor.allocate(this.descriptor, mode, position, length, this, token),
    );
    this.#checked(result, 'fallocate', `cannot change the allocation of ${length} bytes at ${position}`);
  }

  /** @throws SystemError ENOTSUP when the file system or device cannot */
  async discard(position: number, length: number): Promise<void> {
    const result = await this.#run((token) =>
      this.executor.discard(this.descriptor, position, length, this, token),
    );
    this.#checked(result, 'ioctl', `cannot discard ${length} bytes at ${position}`);
  }

  completed(token: number, result: number): void {
    const waiting = this.#waiting[token];
    this.#waiting[token] = undefined;
    this.#free.push(token);
    waiting?.resolve(result);
  }

  async #run(start: (token: number) => number): Promise<number> {
    const token = this.#free.pop() ?? this.#waiting.length;
    const waiting = Promise.withResolvers<number>();
    this.#waiting[token] = waiting;
    try {
      while (start(token) === NO_ROOM) await this.executor.room();
    } catch (error) {
      this.completed(token, 0);
      throw error;
    }
    return await waiting.promise;
  }

  #checked(result: number, syscall: string, what: string): number {
    if (result < 0) throw new SystemError(-result, syscall, `${this.name}: ${what}`);
    return result;
  }
}
