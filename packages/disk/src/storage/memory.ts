import type { Segments } from '../segments.ts';
import type { Storage } from './storage.ts';

const PAGE = 64 * 1024;

/** Storage in this process's memory; pages that were never written take no space. */
export class MemoryStorage implements Storage {
  readonly name: string;
  readonly readOnly = false;
  readonly isFixedSize = false;
  readonly #pages = new Map<number, Uint8Array>();
  #size = 0;

  constructor(name = 'memory') {
    this.name = name;
  }

  /** Storage that holds a copy of `bytes`. */
  static from(bytes: Uint8Array, name?: string): MemoryStorage {
    const storage = new MemoryStorage(name);
    storage.writeBytes(0, bytes);
    return storage;
  }

  get size(): number {
    return this.#size;
  }

  /** A copy of everything. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    for (const [index, page] of this.#pages) {
      const start = index * PAGE;
      bytes.set(page.subarray(0, Math.max(0, Math.min(PAGE, this.#size - start))), start);
    }
    return bytes;
  }

  writeBytes(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const within = (position + done) % PAGE;
      const length = Math.min(PAGE - within, bytes.length - done);
      this.#page((position + done - within) / PAGE).set(bytes.subarray(done, done + length), within);
      done += length;
    }
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  read(position: number, segments: Segments): undefined {
    let at = position;
    for (let i = 0; i < segments.count; i++) {
      const offset = segments.pairs[2 * i] ?? 0;
      const length = segments.pairs[2 * i + 1] ?? 0;
      for (let done = 0; done < length; ) {
        const within = at % PAGE;
        const part = Math.min(PAGE - within, length - done);
        const page = this.#pages.get((at - within) / PAGE);
        const start = offset + done;
        if (page) segments.memory.set(page.subarray(within, within + part), start);
        else segments.memory.fill(0, start, start + part);
        done += part;
        at += part;
      }
    }
    return undefined;
  }

  write(position: number, segments: Segments): undefined {
    let at = position;
    for (let i = 0; i < segments.count; i++) {
      const offset = segments.pairs[2 * i] ?? 0;
      const length = segments.pairs[2 * i + 1] ?? 0;
      this.writeBytes(at, segments.memory.subarray(offset, offset + length));
      at += length;
    }
    return undefined;
  }

  seekData(position: number): number {
    // Few pages are there, however large the storage is.
    let first = this.#size;
    for (const index of this.#pages.keys()) {
      if ((index + 1) * PAGE > position) first = Math.min(first, Math.max(position, index * PAGE));
    }
    return first;
  }

  seekHole(position: number): number {
    let index = Math.floor(position / PAGE);
    while (this.#pages.has(index)) index++;
    return Math.min(Math.max(position, index * PAGE), this.#size);
  }

  punchHole(position: number, length: number): undefined {
    return this.zero(position, length);
  }

  zero(position: number, length: number): undefined {
    const end = Math.min(position + length, this.#size);
    for (const [index, page] of this.#pages) {
      const start = Math.max(position - index * PAGE, 0);
      const stop = Math.min(end - index * PAGE, PAGE);
      if (start >= stop) continue;
      if (start === 0 && stop === PAGE) this.#pages.delete(index);
      else page.fill(0, start, stop);
    }
    return undefined;
  }

  discard(position: number, length: number): undefined {
    return this.zero(position, length);
  }

  resize(size: number): undefined {
    if (size < this.#size) this.zero(size, this.#size - size);
    this.#size = size;
    return undefined;
  }

  sync(): undefined {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #page(index: number): Uint8Array {
    let page = this.#pages.get(index);
    if (!page) {
      page = new Uint8Array(PAGE);
      this.#pages.set(index, page);
    }
    return page;
  }
}
