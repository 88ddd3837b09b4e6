import { HypervisorError } from '../errors.ts';

/** Words of an entry: in use, length, has a value, value (low), eventfd, padding; then the address as a double. */
const ENTRY_WORDS = 8;
const ADDRESS_WORD = 6;
const HEADER_WORDS = 2;
const CAPACITY = 1024;

export interface IoEventEntry {
  readonly address: number;
  /** 0 for any. */
  readonly length: number;
  readonly match: number | undefined;
  readonly descriptor: number;
}

/**
 * The machine's I/O events, shared with the vCPU threads. The creating thread changes it; a vCPU thread reads it again
 * when the generation has moved.
 */
export class IoEventTable {
  static readonly stateSize = (HEADER_WORDS + CAPACITY * ENTRY_WORDS) * 4;

  readonly #words: Int32Array;
  readonly #addresses: Float64Array;
  #generation = -1;
  #byAddress = new Map<number, IoEventEntry[]>();

  constructor(state: SharedArrayBuffer) {
    this.#words = new Int32Array(state);
    this.#addresses = new Float64Array(state);
  }

  /** @throws HypervisorError INVALID_ARGUMENT when the event is there, NO_RESOURCES when the table is full */
  add(entry: IoEventEntry): void {
    let free = -1;
    for (let index = 0; index < CAPACITY; index++) {
      const other = this.#entry(index);
      if (other === undefined) {
        free = free < 0 ? index : free;
      } else if (
        other.address === entry.address &&
        other.length === entry.length &&
        other.match === entry.match
      ) {
        throw new HypervisorError(
          'INVALID_ARGUMENT',
          `an I/O event at 0x${entry.address.toString(16)} with the same length and value is registered already`,
        );
      }
    }
    if (free < 0) {
      throw new HypervisorError(
        'NO_RESOURCES',
        `a machine has at most ${CAPACITY} I/O events: unregister some`,
      );
    }
    const word = HEADER_WORDS + free * ENTRY_WORDS;
    this.#addresses[(word + ADDRESS_WORD) / 2] = entry.address;
    this.#words[word + 1] = entry.length;
    this.#words[word + 2] = entry.match === undefined ? 0 : 1;
    this.#words[word + 3] = entry.match ?? 0;
    this.#words[word + 4] = entry.descriptor;
    Atomics.store(this.#words, word, 1);
    Atomics.add(this.#words, 0, 1);
  }

  /** @returns whether it was there */
  remove(entry: IoEventEntry): boolean {
    for (let index = 0; index < CAPACITY; index++) {
      const other = this.#entry(index);
      if (other?.address === entry.address && other.length === entry.length && other.match === entry.match) {
        Atomics.store(this.#words, HEADER_WORDS + index * ENTRY_WORDS, 0);
        Atomics.add(this.#words, 0, 1);
        return true;
      }
    }
    return false;
  }

  /** The event that a write signals, on a vCPU's thread. */
  find(address: number, size: number, low: number): IoEventEntry | undefined {
    const generation = Atomics.load(this.#words, 0);
    if (generation !== this.#generation) {
      this.#read(generation);
    }
    const entries = this.#byAddress.get(address);
    if (entries === undefined) {
      return undefined;
    }
    for (const entry of entries) {
      if (
        (entry.length === 0 || entry.length === size) &&
        (entry.match === undefined || entry.match >>> 0 === low >>> 0)
      ) {
        return entry;
      }
    }
    return undefined;
  }

  #read(generation: number): void {
    this.#generation = generation;
    this.#byAddress = new Map();
    for (let index = 0; index < CAPACITY; index++) {
      const entry = this.#entry(index);
      if (entry !== undefined) {
        const entries = this.#byAddress.get(entry.address);
        if (entries === undefined) {
          this.#byAddress.set(entry.address, [entry]);
        } else {
          entries.push(entry);
        }
      }
    }
  }

  #entry(index: number): IoEventEntry | undefined {
    const word = HEADER_WORDS + index * ENTRY_WORDS;
    if (Atomics.load(this.#words, word) === 0) {
      return undefined;
    }
    return {
      address: this.#addresses[(word + ADDRESS_WORD) / 2] ?? 0,
      length: this.#words[word + 1] ?? 0,
      match: this.#words[word + 2] === 0 ? undefined : (this.#words[word + 3] ?? 0) >>> 0,
      descriptor: this.#words[word + 4] ?? -1,
    };
  }
}
