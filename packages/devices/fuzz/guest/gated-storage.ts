import type { MemoryStorage, Segments, Storage } from '@tsvmm/disk';

/** Beyond this position, reading and writing fail. */
const BROKEN_FROM = 0x3_f000;

/** Storage in memory whose operations end when they are let, so that a guest can do something before they have. */
export class GatedStorage implements Storage {
  readonly #inner: MemoryStorage;
  readonly #waiting: (() => void)[] = [];
  #isOpen = false;

  constructor(inner: MemoryStorage) {
    this.#inner = inner;
  }

  get name(): string {
    return this.#inner.name;
  }
  get size(): number {
    return this.#inner.size;
  }
  get readOnly(): boolean {
    return false;
  }
  get isFixedSize(): boolean {
    return false;
  }

  /** Lets everything end that waits now. */
  letThrough(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Nothing waits any more. */
  open(): void {
    this.#isOpen = true;
    this.letThrough();
  }

  async read(position: number, segments: Segments): Promise<void> {
    await this.#pass(position);
    await this.#inner.read(position, segments);
  }
  async write(position: number, segments: Segments): Promise<void> {
    await this.#pass(position);
    await this.#inner.write(position, segments);
  }
  seekData(position: number): number | Promise<number> {
    return this.#inner.seekData(position);
  }
  seekHole(position: number): number | Promise<number> {
    return this.#inner.seekHole(position);
  }
  async punchHole(position: number, length: number): Promise<void> {
    await this.#pass(position);
    await this.#inner.punchHole(position, length);
  }
  async zero(position: number, length: number): Promise<void> {
    await this.#pass(position);
    await this.#inner.zero(position, length);
  }
  async discard(position: number, length: number): Promise<void> {
    await this.#pass(position);
    await this.#inner.discard(position, length);
  }
  async resize(size: number): Promise<void> {
    await this.#inner.resize(size);
  }
  async sync(): Promise<void> {
    await this.#pass(0);
    await this.#inner.sync();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }

  async #pass(position: number): Promise<void> {
    if (!this.#isOpen) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    if (position >= BROKEN_FROM) throw new Error(`the sector at ${position} is broken`);
  }
}
