import type { Segments } from '../segments.ts';

/** `undefined` when the operation is already done; what happens later is a promise. */
export type Pending = Promise<void> | undefined;

/**
 * The bytes that an image lies in: a file, a block device, memory. It is all that formats know of I/O, so another
 * executor (io_uring, a test that cuts the power) serves them by implementing it. Positions and lengths are bytes.
 *
 * Operations take segments of the caller's memory and copy nothing. One that completes at once returns `undefined`
 * rather than a promise, which saves the caller a turn of the event loop.
 */
export interface Storage extends AsyncDisposable {
  /** For messages: usually the path. */
  readonly name: string;
  /** Bytes. Writing past the end moves it, unless `isFixedSize`. */
  readonly size: number;
  readonly readOnly: boolean;
  /** A block device, which neither grows nor reads as zero where it was never written. */
  readonly isFixedSize: boolean;
  /** Fills all segments; bytes past the end read as zero. */
  read(position: number, segments: Segments): Pending;
  /** Writes all segments. */
  write(position: number, segments: Segments): Pending;
  /** The first byte from `position` on that may be other than zero because something is stored there; `size` when none is. */
  seekData(position: number): number | Promise<number>;
  /** The first byte from `position` on that nothing is stored for, so that it reads as zero; `size` when there is none. */
  seekHole(position: number): number | Promise<number>;
  /** Makes a range zero and gives its space back where that is possible. The size stays. */
  punchHole(position: number, length: number): Pending;
  /** Makes a range zero and keeps its space. The size stays. */
  zero(position: number, length: number): Pending;
  /** Tells that a range is not needed; what it reads as is unspecified. */
  discard(position: number, length: number): Pending;
  /** Cuts off, or appends zeroes. */
  resize(size: number): Pending;
  /** Brings everything to stable storage. */
  sync(): Pending;
  /** Closes, without a sync. */
  [Symbol.asyncDispose](): Promise<void>;
}
