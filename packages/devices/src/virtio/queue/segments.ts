import type { GuestMemory } from '@tsvmm/vm-memory';

/**
 * A request's buffers in one direction, in order: pairs of position and length in guest memory's host bytes, as
 * `preadv` and `pwritev` take them. Made once a queue and filled anew for every request.
 */
export class Segments {
  /** Pairs of position and length. */
  pairs: Float64Array;
  /** How many pairs are meant. */
  count = 0;
  /** Sum of the lengths. */
  byteLength = 0;
  /** What the positions count in: guest memory. */
  memory: Uint8Array;

  /** @param memory nothing for segments that will be copied from others */
  constructor(memory?: GuestMemory, capacity = 0) {
    this.pairs = new Float64Array(2 * capacity);
    this.memory = memory?.hostBytes ?? new Uint8Array(0);
  }

  clear(): void {
    this.count = 0;
    this.byteLength = 0;
  }

  /** Becomes what `source` is, with pairs of its own. */
  copyFrom(source: Segments): void {
    if (this.pairs.length < 2 * source.count) this.pairs = new Float64Array(2 * source.count);
    this.memory = source.memory;
    for (let i = 0; i < 2 * source.count; i++) this.pairs[i] = source.pairs[i] ?? 0;
    this.count = source.count;
    this.byteLength = source.byteLength;
  }

  push(position: number, length: number): void {
    this.pairs[2 * this.count] = position;
    this.pairs[2 * this.count + 1] = length;
    this.count++;
    this.byteLength += length;
  }

  /** Moves the first `bytes.length` bytes out of the segments into `bytes`; false when there are not as many. */
  takeFirst(bytes: Uint8Array): boolean {
    if (this.byteLength < bytes.length) return false;
    let done = 0;
    let index = 0;
    while (done < bytes.length) {
      const position = this.#position(index);
      const length = Math.min(this.#length(index), bytes.length - done);
      for (let i = 0; i < length; i++) bytes[done + i] = this.memory[position + i] ?? 0;
      done += length;
      if (length < this.#length(index)) {
        this.pairs[2 * index] = position + length;
        this.pairs[2 * index + 1] = this.#length(index) - length;
      } else {
        index++;
      }
    }
    this.#dropFirst(index, bytes.length);
    return true;
  }

  /** Moves the first `length` bytes of the segments to `target`, in place; false when there are not as many. */
  moveFirst(length: number, target: Segments): boolean {
    target.copyFrom(this);
    if (!target.truncate(length)) return false;
    const last = target.count - 1;
    const isCut = last >= 0 && target.#length(last) < this.#length(last);
    if (isCut) {
      this.pairs[2 * last] = this.#position(last) + target.#length(last);
      this.pairs[2 * last + 1] = this.#length(last) - target.#length(last);
    }
    this.#dropFirst(isCut ? last : target.count, length);
    return true;
  }

  /** Keeps only the first `length` bytes; false when there are not as many. */
  truncate(length: number): boolean {
    if (this.byteLength < length) return false;
    let count = 0;
    for (let left = length; left > 0; count++) {
      this.pairs[2 * count + 1] = Math.min(this.#length(count), left);
      left -= this.#length(count);
    }
    this.count = count;
    this.byteLength = length;
    return true;
  }

  /** Cuts off the last byte. @returns its position, -1 when there is none */
  takeLastByte(): number {
    if (this.count === 0) return -1;
    const last = this.count - 1;
    const length = this.#length(last) - 1;
    const position = this.#position(last) + length;
    this.pairs[2 * last + 1] = length;
    if (length === 0) this.count = last;
    this.byteLength--;
    return position;
  }

  /** The bytes of segment `index`, in place. */
  bytes(index: number): Uint8Array {
    const position = this.#position(index);
    return this.memory.subarray(position, position + this.#length(index));
  }

  /** Copies as many of `source`'s bytes as fit into the segments. @returns how many those were */
  scatter(source: Uint8Array): number {
    let done = 0;
    for (let index = 0; index < this.count && done < source.length; index++) {
      const length = Math.min(this.#length(index), source.length - done);
      this.memory.set(source.subarray(done, done + length), this.#position(index));
      done += length;
    }
    return done;
  }

  /** @param length bytes that are not in the segments from `count` on */
  #dropFirst(count: number, length: number): void {
    this.pairs.copyWithin(0, 2 * count, 2 * this.count);
    this.count -= count;
    this.byteLength -= length;
  }

  #position(index: number): number {
    return this.pairs[2 * index] ?? 0;
  }

  #length(index: number): number {
    return this.pairs[2 * index + 1] ?? 0;
  }
}
