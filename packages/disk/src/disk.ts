import { DiskError } from './errors.ts';
import type { Segments } from './segments.ts';

/** What a range of a disk is made of. */
export interface Extent {
  /** Bytes from the position that was asked about. */
  readonly length: number;
  /**
   * `data`: bytes are stored for it; `zero`: it is known to read as zero; `unallocated`: nothing is stored for it in any
   * image of the chain, so it reads as zero.
   */
  readonly kind: 'data' | 'zero' | 'unallocated';
  /** How many images below this one hold it: 0 is this image itself, 1 its backing image, and so on. */
  readonly depth: number;
  /** Byte offset in the file that holds it, where the bytes lie there one to one: data, and holes of raw files. */
  readonly offset?: number;
  /** The file holds it compressed. */
  readonly compressed?: boolean;
}

/** How a range is to become zero. */
export interface WriteZeroesOptions {
  /** The range may lose its space in the image, so that a later write may find no room; true unless given. */
  readonly mayUnmap?: boolean;
}

/**
 * A disk, whatever its format. Positions and lengths are bytes and need no alignment. A request that does not lie inside
 * the disk fails with OUT_OF_RANGE before it changes anything; writes to a disk that is `readOnly` fail with READ_ONLY.
 *
 * Requests may overlap in time. Two that overlap in range, of which one writes, happen in an unspecified order. What was
 * written is on stable storage after a `flush` that started later.
 */
export interface Disk extends AsyncDisposable {
  /** The format's name, such as `'qcow2'`. */
  readonly format: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes, a power of two: requests that start and end at multiples of it need no other bytes of the image. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** Fills the target with the bytes from `position` on. */
  read(position: number, target: Uint8Array | Segments): Promise<void>;
  /** Writes the source to `position` on. */
  write(position: number, source: Uint8Array | Segments): Promise<void>;
  /**
   * Says that a range is not needed any more. What it reads as afterwards is unspecified until it is written again: zero
   * or what it held, never what another program or a lower image held there.
   */
  discard(position: number, length: number): Promise<void>;
  /** Makes a range read as zero. */
  writeZeroes(position: number, length: number, options?: WriteZeroesOptions): Promise<void>;
  /** Brings everything written before to stable storage. */
  flush(): Promise<void>;
  /**
   * Changes `size`; what is added reads as zero.
   * @throws DiskError UNSUPPORTED when the format or the device has a fixed size
   */
  resize(size: number): Promise<void>;
  /** What the disk is made of from `position` (inside the disk) on, as far as that is the same. */
  extentAt(position: number): Promise<Extent>;
  /** Flushes and closes. Requests must have ended; later ones fail with CLOSED. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** @throws DiskError OUT_OF_RANGE */
export function checkRange(disk: { readonly size: number }, position: number, length: number): void {
  if (!isWholeNumber(position) || !isWholeNumber(length) || length > disk.size - position) {
    throw new DiskError(
      'OUT_OF_RANGE',
      `${length} bytes at position ${position} do not lie inside a disk of ${disk.size} bytes.`,
    );
  }
}

/** @throws DiskError READ_ONLY */
export function checkWritable(disk: { readonly readOnly: boolean; readonly format: string }): void {
  if (disk.readOnly) {
    throw new DiskError('READ_ONLY', `This ${disk.format} disk is read-only: open it writable to change it.`);
  }
}

export function isWholeNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
