import type { Storage } from '../storage/storage.ts';
import { readBytes } from './mapped-disk.ts';

const PAGE_LENGTH = 4096;
const CAPACITY = 256;

/** Numbers of tables in a storage, of which a bounded part is kept: tables may be as large as an image claims. */
export class PageCache {
  readonly #storage: Storage;
  /** By their numbers; the one used last at the end. */
  readonly #pages = new Map<number, Buffer>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** The bytes from a position to the end of its page; zero past the end of the storage. Do not change them. */
  async rest(position: number): Promise<Uint8Array> {
    const within = position % PAGE_LENGTH;
    return (await this.#page((position - within) / PAGE_LENGTH)).subarray(within);
  }

  /** The little-endian 32-bit number at a multiple of four. */
  async uint32(position: number): Promise<number> {
    const within = position % PAGE_LENGTH;
    return (await this.#page((position - within) / PAGE_LENGTH)).readUInt32LE(within);
  }

  /** The big-endian 32-bit number at a multiple of four. */
  async uint32BE(position: number): Promise<number> {
    const within = position % PAGE_LENGTH;
    return (await this.#page((position - within) / PAGE_LENGTH)).readUInt32BE(within);
  }

  /** The little-endian 64-bit number at a multiple of eight. */
  async uint64(position: number): Promise<bigint> {
    const within = position % PAGE_LENGTH;
    return (await this.#page((position - within) / PAGE_LENGTH)).readBigUInt64LE(within);
  }

  async #page(index: number): Promise<Buffer> {
    let page = this.#pages.get(index);
    if (page) this.#pages.delete(index);
    else page = await readBytes(this.#storage, index * PAGE_LENGTH, PAGE_LENGTH);
    this.#pages.set(index, page);
    if (this.#pages.size > CAPACITY) {
      const oldest = this.#pages.keys().next().value;
      if (oldest !== undefined) this.#pages.delete(oldest);
    }
    return page;
  }
}
