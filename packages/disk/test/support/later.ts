import type { Pending, Segments, Storage } from '../../src/index.ts';

/** Completes each operation in a later turn of the event loop, and operations of one turn in reverse order. */
export class LaterStorage implements Storage {
  readonly #storage: Storage;
  #queue: (() => void)[] = [];

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  get name(): string {
    return this.#storage.name;
  }

  get size(): number {
    return this.#storage.size;
  }

  get readOnly(): boolean {
    return this.#storage.readOnly;
  }

  get isFixedSize(): boolean {
    return this.#storage.isFixedSize;
  }

  read(position: number, segments: Segments): Pending {
    return this.#later(() => this.#storage.read(position, segments));
  }

  write(position: number, segments: Segments): Pending {
    return this.#later(() => this.#storage.write(position, segments));
  }

  async seekData(position: number): Promise<number> {
    return await this.#storage.seekData(position);
  }

  async seekHole(position: number): Promise<number> {
    return await this.#storage.seekHole(position);
  }

  punchHole(position: number, length: number): Pending {
    return this.#later(() => this.#storage.punchHole(position, length));
  }

  zero(position: number, length: number): Pending {
    return this.#later(() => this.#storage.zero(position, length));
  }

  discard(position: number, length: number): Pending {
    return this.#later(() => this.#storage.discard(position, length));
  }

  resize(size: number): Pending {
    return this.#later(() => this.#storage.resize(size));
  }

  sync(): Pending {
    return this.#later(() => this.#storage.sync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#storage[Symbol.asyncDispose]();
  }

  #later(action: () => Pending): Pending {
    return new Promise((resolve, reject) => {
      if (this.#queue.length === 0) {
        setImmediate(() => {
          const queue = this.#queue;
          this.#queue = [];
          for (const run of queue.reverse()) run();
        });
      }
      this.#queue.push(() => {
        try {
          Promise.resolve(action()).then(resolve, reject);
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
