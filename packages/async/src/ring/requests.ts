import type { Completion, Segments } from '../executor.ts';

/** Vectors of a slot. A request with more segments goes to the kernel in several parts, one after the other. */
export const VECTORS = 64;
/** `struct iovec` as 32-bit words. */
const VECTOR_WORDS = 4;

/**
 * The slots of an executor's requests, all made at the start. What a request names is referred to from here until it
 * has ended, and so is not freed.
 */
export class Requests {
  readonly capacity: number;
  /** How often a slot was used: tells a request from those that had its slot before it. */
  readonly generation: Uint32Array;
  readonly operation: Uint8Array;
  readonly fd: Int32Array;
  /** Bytes; -1 for what has no positions. */
  readonly position: Float64Array;
  /** Bytes, of a range that is not segments. */
  readonly length: Float64Array;
  /** Flags of the operation, or the mode of an allocation. */
  readonly flags: Int32Array;
  /** Bytes that have been moved. */
  readonly done: Float64Array;
  readonly token: Float64Array;
  readonly isCancelled: Uint8Array;
  readonly #completion: (Completion | undefined)[];
  readonly #segments: (Segments | undefined)[];
  readonly #memory: (Uint8Array | undefined)[];
  readonly #free: Int32Array;
  #freeCount: number;
  /** Each slot's vectors; a timeout's `struct timespec` is in their place. */
  readonly vectors: Uint32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.generation = new Uint32Array(capacity);
    this.operation = new Uint8Array(capacity);
    this.fd = new Int32Array(capacity);
    this.position = new Float64Array(capacity);
    this.length = new Float64Array(capacity);
    this.flags = new Int32Array(capacity);
    this.done = new Float64Array(capacity);
    this.token = new Float64Array(capacity);
    this.isCancelled = new Uint8Array(capacity);
    this.#completion = new Array<Completion | undefined>(capacity).fill(undefined);
    this.#segments = new Array<Segments | undefined>(capacity).fill(undefined);
    this.#memory = new Array<Uint8Array | undefined>(capacity).fill(undefined);
    // The lowest numbers are used first, so that few of them stay in the processor's caches.
    this.#free = Int32Array.from({ length: capacity }, (_, index) => capacity - 1 - index);
    this.#freeCount = capacity;
    this.vectors = new Uint32Array(capacity * VECTORS * VECTOR_WORDS);
  }

  get used(): number {
    return this.capacity - this.#freeCount;
  }

  /** Takes a slot; -1 when there is none. */
  take(operation: number, fd: number, completion: Completion, token: number): number {
    if (this.#freeCount === 0) return -1;
    const slot = this.#free[--this.#freeCount] ?? 0;
    this.operation[slot] = operation;
    this.fd[slot] = fd;
    this.position[slot] = 0;
    this.length[slot] = 0;
    this.flags[slot] = 0;
    this.done[slot] = 0;
    this.token[slot] = token;
    this.isCancelled[slot] = 0;
    this.#completion[slot] = completion;
    return slot;
  }

  setSegments(slot: number, segments: Segments): void {
    this.#segments[slot] = segments;
    // The segments may be given another memory; this one is kept.
    this.#memory[slot] = segments.memory;
  }

  segments(slot: number): Segments | undefined {
    return this.#segments[slot];
  }

  memory(slot: number): Uint8Array | undefined {
    return this.#memory[slot];
  }

  /** Gives a slot back. @returns who gets the result */
  release(slot: number): Completion | undefined {
    const completion = this.#completion[slot];
    this.#completion[slot] = undefined;
    this.#segments[slot] = undefined;
    this.#memory[slot] = undefined;
    this.generation[slot] = ((this.generation[slot] ?? 0) + 1) & 0x7fff_ffff;
    this.#free[this.#freeCount++] = slot;
    return completion;
  }

  /** The number by which a request is known outside. */
  number(slot: number): number {
    return (this.generation[slot] ?? 0) * this.capacity + slot;
  }

  /** The slot of a request that has not ended, -1 of any other. */
  slotOf(request: number): number {
    const slot = request % this.capacity;
    if (this.#completion[slot] === undefined) return -1;
    return this.number(slot) === request ? slot : -1;
  }

  /** Index in `vectors` of a slot's first word. */
  firstVectorWord(slot: number): number {
    return slot * VECTORS * VECTOR_WORDS;
  }
}
