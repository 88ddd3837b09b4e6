/**
 * Places of a memory that a request moves bytes to or from, in order. It is what `preadv` and `pwritev` of
 * `@tsvmm/base` take, so that a guest's buffers are handed to the kernel where they lie; `memory` may view a
 * SharedArrayBuffer.
 */
export interface Segments {
  /** What the offsets count in. */
  readonly memory: Uint8Array;
  /** Pairs of byte offset and byte length in `memory`. */
  readonly pairs: Float64Array;
  /** How many pairs are meant. */
  readonly count: number;
  /** Sum of the lengths. */
  readonly byteLength: number;
}

const EMPTY = new Uint8Array(0);
const FIRST_CAPACITY = 8;

/** Segments that are filled anew for each use. */
export class SegmentList implements Segments {
  memory: Uint8Array = EMPTY;
  pairs = new Float64Array(2 * FIRST_CAPACITY);
  count = 0;
  byteLength = 0;

  /** One segment: all of `bytes`. */
  static of(bytes: Uint8Array): SegmentList {
    return new SegmentList().setBytes(bytes);
  }

  setBytes(bytes: Uint8Array): this {
    this.memory = bytes;
    this.pairs[0] = 0;
    this.pairs[1] = bytes.length;
    this.count = bytes.length === 0 ? 0 : 1;
    this.byteLength = bytes.length;
    return this;
  }

  /** The `length` bytes of `source` from its byte `start` on. */
  setSlice(source: Segments, start: number, length: number): this {
    if (this.pairs.length < 2 * source.count) this.pairs = new Float64Array(2 * source.count);
    const { pairs } = source;
    let skip = start;
    let left = length;
    let count = 0;
    for (let i = 0; i < source.count && left > 0; i++) {
      const size = pairs[2 * i + 1] ?? 0;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const taken = Math.min(size - skip, left);
      this.pairs[2 * count] = (pairs[2 * i] ?? 0) + skip;
      this.pairs[2 * count + 1] = taken;
      count++;
      left -= taken;
      skip = 0;
    }
    this.memory = source.memory;
    this.count = count;
    this.byteLength = length - left;
    return this;
  }
}

/** The part of `source` that is meant, without work when that is all of it. */
export function sliceSegments(
  source: Segments,
  start: number,
  length: number,
  scratch: SegmentList,
): Segments {
  return start === 0 && length === source.byteLength ? source : scratch.setSlice(source, start, length);
}

export function toSegments(bytes: Uint8Array | Segments): Segments {
  return bytes instanceof Uint8Array ? SegmentList.of(bytes) : bytes;
}

/** Zeroes `length` bytes of the segments from byte `start` on. */
export function zeroSegments(segments: Segments, start: number, length: number): void {
  forEachPiece(segments, start, length, (offset, size) => segments.memory.fill(0, offset, offset + size));
}

/** Copies `bytes` into the segments from byte `start` on. */
export function scatter(segments: Segments, start: number, bytes: Uint8Array): void {
  forEachPiece(segments, start, bytes.length, (offset, size, done) => {
    segments.memory.set(bytes.subarray(done, done + size), offset);
  });
}

/** Fills `bytes` from the segments from byte `start` on. */
export function gather(segments: Segments, start: number, bytes: Uint8Array): void {
  forEachPiece(segments, start, bytes.length, (offset, size, done) => {
    bytes.set(segments.memory.subarray(offset, offset + size), done);
  });
}

function forEachPiece(
  segments: Segments,
  start: number,
  length: number,
  visit: (offset: number, size: number, done: number) => void,
): void {
  let skip = start;
  let done = 0;
  for (let i = 0; i < segments.count && done < length; i++) {
    const size = segments.pairs[2 * i + 1] ?? 0;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const taken = Math.min(size - skip, length - done);
    visit((segments.pairs[2 * i] ?? 0) + skip, taken, done);
    done += taken;
    skip = 0;
  }
}
