import {
  checkRange,
  checkWritable,
  type Disk,
  type Extent,
  isWholeNumber,
  type WriteZeroesOptions,
} from './disk.ts';
import { DiskError } from './errors.ts';
import { type Segments, toSegments } from './segments.ts';
import type { Storage } from './storage/storage.ts';

/** A raw image: byte n of the disk is byte n of the storage. */
export class RawDisk implements Disk {
  readonly format = 'raw';
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly #storage: Storage;
  #size: number;
  #isOpen = true;

  /** Takes over `storage`. */
  constructor(storage: Storage, { readOnly = storage.readOnly }: { readonly readOnly?: boolean } = {}) {
    this.#storage = storage;
    this.readOnly = readOnly || storage.readOnly;
    this.blockSize = 512;
    this.#size = storage.size;
  }

  get size(): number {
    return this.#size;
  }

  async read(position: number, target: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(target);
    this.#check(position, segments.byteLength);
    const pending = this.#storage.read(position, segments);
    if (pending) await pending;
  }

  async write(position: number, source: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(source);
    this.#check(position, segments.byteLength);
    checkWritable(this);
    const pending = this.#storage.write(position, segments);
    if (pending) await pending;
  }

  async discard(position: number, length: number): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    const pending = this.#storage.discard(position, length);
    if (pending) await pending;
  }

  async writeZeroes(position: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    const { mayUnmap = true } = options;
    const pending = mayUnmap
      ? this.#storage.punchHole(position, length)
      : this.#storage.zero(position, length);
    if (pending) await pending;
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    if (!this.readOnly) await this.#storage.sync();
  }

  async resize(size: number): Promise<void> {
    this.#check(0, 0);
    checkWritable(this);
    if (!isWholeNumber(size)) throw new DiskError('BAD_OPTION', `A disk cannot have ${size} bytes.`);
    await this.#storage.resize(size);
    this.#size = size;
  }

  async extentAt(position: number): Promise<Extent> {
    this.#check(position, 1);
    // Somebody else may have changed the file's size; the disk's stays.
    const data = Math.min(await this.#storage.seekData(position), this.#size);
    if (data > position) return { length: data - position, kind: 'zero', depth: 0, offset: position };
    const hole = Math.min(await this.#storage.seekHole(position), this.#size);
    const length = Math.max(hole, position + 1) - position;
    return { length, kind: 'data', depth: 0, offset: position };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await using storage = this.#storage;
    if (!this.readOnly) await storage.sync();
  }

  #check(position: number, length: number): void {
    if (!this.#isOpen) throw new DiskError('CLOSED', `${this.#storage.name} was closed.`);
    checkRange(this, position, length);
  }
}
