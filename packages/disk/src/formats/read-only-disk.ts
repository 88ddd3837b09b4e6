import { checkRange, type Disk, type Extent } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { type Segments, toSegments } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';

/** What formats that cannot be written have in common. */
export abstract class ReadOnlyDisk implements Disk {
  abstract readonly format: string;
  abstract readonly size: number;
  abstract readonly blockSize: number;
  readonly readOnly = true;
  protected readonly storage: Storage;
  #isOpen = true;

  /** Takes over `storage`. */
  constructor(storage: Storage) {
    this.storage = storage;
  }

  async read(position: number, target: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(target);
    this.#check(position, segments.byteLength);
    if (segments.byteLength > 0) await this.readRange(position, segments);
  }

  async extentAt(position: number): Promise<Extent> {
    this.#check(position, 1);
    return await this.extent(position);
  }

  write(position: number, source: Uint8Array | Segments): Promise<void> {
    return this.#refuse(position, toSegments(source).byteLength);
  }

  discard(position: number, length: number): Promise<void> {
    return this.#refuse(position, length);
  }

  writeZeroes(position: number, length: number): Promise<void> {
    return this.#refuse(position, length);
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
  }

  resize(): Promise<void> {
    return this.#refuse(0, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.storage[Symbol.asyncDispose]();
  }

  /** Fills the segments, which are not empty, from a range that lies inside the disk. */
  protected abstract readRange(position: number, segments: Segments): Promise<void>;

  /** What is at a position inside the disk. */
  protected abstract extent(position: number): Extent | Promise<Extent>;

  async #refuse(position: number, length: number): Promise<never> {
    this.#check(position, length);
    throw new DiskError(
      'READ_ONLY',
      `${this.storage.name} is a ${this.format} image, which can only be read.`,
    );
  }

  #check(position: number, length: number): void {
    if (!this.#isOpen) throw new DiskError('CLOSED', `${this.storage.name} was closed.`);
    checkRange(this, position, length);
  }
}

/** Index of the last of the ascending `starts` that is not above `position`. */
export function findStart(starts: ArrayLike<number>, position: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= position) low = middle;
    else high = middle;
  }
  return low;
}
