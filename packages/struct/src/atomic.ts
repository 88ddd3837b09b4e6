import type { NativeScalar, View } from './kind.ts';

type Integers = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;
type BigIntegers = BigInt64Array | BigUint64Array;

/**
 * One integer that several threads read and write: every operation is indivisible and sequentially consistent.
 * Those that change the value return the one that was there before.
 */
export class AtomicCell<A extends Integers = Integers> {
  protected readonly word: A;

  constructor(word: A) {
    this.word = word;
  }

  load(): number {
    return Atomics.load(this.word, 0);
  }
  store(value: number): void {
    Atomics.store(this.word, 0, value);
  }
  add(value: number): number {
    return Atomics.add(this.word, 0, value);
  }
  sub(value: number): number {
    return Atomics.sub(this.word, 0, value);
  }
  and(value: number): number {
    return Atomics.and(this.word, 0, value);
  }
  or(value: number): number {
    return Atomics.or(this.word, 0, value);
  }
  xor(value: number): number {
    return Atomics.xor(this.word, 0, value);
  }
  exchange(value: number): number {
    return Atomics.exchange(this.word, 0, value);
  }
  /** Stores `replacement` if the value is `expected`; it was if that is what is returned. */
  compareExchange(expected: number, replacement: number): number {
    return Atomics.compareExchange(this.word, 0, expected, replacement);
  }
}

/** An {@link AtomicCell} of kind i32, on which a thread can also sleep. */
export class AtomicWaitCell extends AtomicCell<Int32Array> {
  /** Sleeps while the value is `expected`, at most `timeout` milliseconds. Needs a SharedArrayBuffer. */
  wait(expected: number, timeout?: number): 'ok' | 'not-equal' | 'timed-out' {
    return Atomics.wait(this.word, 0, expected, timeout);
  }
  /** Wakes at most `count` sleepers (all of them by default) and says how many there were. */
  notify(count?: number): number {
    return Atomics.notify(this.word, 0, count);
  }
}

/** {@link AtomicCell} of 64 bits. */
export class AtomicBigCell {
  readonly #word: BigIntegers;

  constructor(word: BigIntegers) {
    this.#word = word;
  }

  load(): bigint {
    return Atomics.load(this.#word, 0);
  }
  store(value: bigint): void {
    Atomics.store(this.#word, 0, value);
  }
  add(value: bigint): bigint {
    return Atomics.add(this.#word, 0, value);
  }
  sub(value: bigint): bigint {
    return Atomics.sub(this.#word, 0, value);
  }
  and(value: bigint): bigint {
    return Atomics.and(this.#word, 0, value);
  }
  or(value: bigint): bigint {
    return Atomics.or(this.#word, 0, value);
  }
  xor(value: bigint): bigint {
    return Atomics.xor(this.#word, 0, value);
  }
  exchange(value: bigint): bigint {
    return Atomics.exchange(this.#word, 0, value);
  }
  /** Stores `replacement` if the value is `expected`; it was if that is what is returned. */
  compareExchange(expected: bigint, replacement: bigint): bigint {
    return Atomics.compareExchange(this.#word, 0, expected, replacement);
  }
}

/**
 * A field that several threads change: `u8`…`u32`, `i8`…`i32`, `u64big` or `i64big`, always naturally aligned.
 * The cell of an `i32` can also be waited on.
 */
export function atomic(kind: NativeScalar<number, Int32Array>): View<AtomicWaitCell>;
export function atomic(kind: NativeScalar<number, Integers>): View<AtomicCell>;
export function atomic(kind: NativeScalar<bigint, BigIntegers>): View<AtomicBigCell>;
export function atomic(
  kind: NativeScalar<number, Integers> | NativeScalar<bigint, BigIntegers>,
): View<AtomicCell | AtomicBigCell> {
  const { size, shape, typedArray: TypedArray } = kind;
  return {
    size,
    alignment: size,
    needs: size,
    shape,
    assignable: false,
    view(buffer, byteOffset) {
      const word = new TypedArray(buffer, byteOffset, 1);
      if (word instanceof Int32Array) return new AtomicWaitCell(word);
      if (word instanceof BigInt64Array || word instanceof BigUint64Array) return new AtomicBigCell(word);
      return new AtomicCell(word);
    },
  };
}
