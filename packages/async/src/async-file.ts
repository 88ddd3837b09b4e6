import { SystemError } from '@tsvmm/base';
import { type AllocationMode, type Completion, type Executor, NO_ROOM, type Segments } from './executor.ts';

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

/** A request that has not ended, and what to say of it when it fails. */
interface Waiting {
  readonly resolve: (result: number) => void;
  readonly reject: (error: unknown) => void;
  readonly syscall: string;
  readonly position: number;
  readonly length: number;
}

type Start = (token: number) => number;

/**
 * A file's operations as promises, for whoever does not count allocations. It waits for room in its executor. The
 * descriptor stays the caller's, and has to stay open until the promises have settled, which is also when segments that
 * were given may change. What the host refuses is a `SystemError` of `@tsvmm/base`.
 */
export class AsyncFile implements Completion {
  readonly executor: Executor;
  readonly descriptor: number;
  /** For messages: usually the path. */
  readonly name: string;
  readonly #waiting: (Waiting | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(executor: Executor, descriptor: number, name: string) {
    this.executor = executor;
    this.descriptor = descriptor;
    this.name = name;
  }

  /** Fills the target from `position` on. @returns bytes: fewer than asked for only at the file's end */
  read(position: number, target: Uint8Array | Segments): Promise<number> {
    const segments = toSegments(target);
    return this.#run('preadv', position, segments.byteLength, (token) =>
      this.executor.read(this.descriptor, position, segments, this, token),
    );
  }

  /** Writes all of the source to `position` on. @returns bytes */
  write(position: number, source: Uint8Array | Segments): Promise<number> {
    const segments = toSegments(source);
    return this.#run('pwritev', position, segments.byteLength, (token) =>
      this.executor.write(this.descriptor, position, segments, this, token),
    );
  }

  /** Brings data, and unless `dataOnly` all attributes, to stable storage. */
  async sync(dataOnly: boolean): Promise<void> {
    await this.#run(dataOnly ? 'fdatasync' : 'fsync', 0, 0, (token) =>
      this.executor.sync(this.descriptor, dataOnly, this, token),
    );
  }

  /** See `Executor.allocate`; ENOTSUP says that the file system cannot. */
  async allocate(mode: AllocationMode, position: number, length: number): Promise<void> {
    await this.#run('fallocate', position, length, (token) =>
      this.executor.allocate(this.descriptor, mode, position, length, this, token),
    );
  }

  /** See `Executor.discard`; ENOTSUP says that the file system or device cannot. */
  async discard(position: number, length: number): Promise<void> {
    await this.#run('BLKDISCARD', position, length, (token) =>
      this.executor.discard(this.descriptor, position, length, this, token),
    );
  }

  completed(token: number, result: number): void {
    const waiting = this.#release(token);
    if (!waiting) return;
    if (result >= 0) waiting.resolve(result);
    else waiting.reject(this.#error(waiting, -result));
  }

  #run(syscall: string, position: number, length: number, start: Start): Promise<number> {
    return new Promise((resolve, reject) => {
      const token = this.#free.pop() ?? this.#waiting.length;
      this.#waiting[token] = { resolve, reject, syscall, position, length };
      try {
        if (start(token) === NO_ROOM) void this.#startWithRoom(token, start);
      } catch (error) {
        this.#release(token)?.reject(error);
      }
    });
  }

  async #startWithRoom(token: number, start: Start): Promise<void> {
    try {
      do await this.executor.room();
      while (start(token) === NO_ROOM);
    } catch (error) {
      this.#release(token)?.reject(error);
    }
  }

  #release(token: number): Waiting | undefined {
    const waiting = this.#waiting[token];
    this.#waiting[token] = undefined;
    this.#free.push(token);
    return waiting;
  }

  #error({ syscall, position, length }: Waiting, errno: number): SystemError {
    const where = length === 0 ? '' : ` with ${length} bytes at ${position}`;
    return new SystemError(errno, syscall, `${this.name}: ${syscall}${where} failed`);
  }
}
