import { StructError } from './errors.ts';
import type { Kind, NativeScalar, Scalar, View } from './kind.ts';
import { u8 } from './scalars.ts';

/** An array of scalars that no typed array can show: big-endian ones, and 64-bit ones read as numbers. */
export class Elements<T> implements Iterable<T> {
  readonly length: number;
  readonly #scalar: Scalar<T>;
  readonly #data: DataView;

  constructor(scalar: Scalar<T>, data: DataView) {
    this.#scalar = scalar;
    this.#data = data;
    this.length = data.byteLength / scalar.size;
  }

  /** @throws RangeError when `index` is not below the length */
  get(index: number): T {
    return this.#scalar.load(this.#data, index * this.#scalar.size);
  }

  /** @throws RangeError when `index` is not below the length */
  set(index: number, value: T): void {
    this.#scalar.store(this.#data, index * this.#scalar.size, value);
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }
}

/**
 * `length` elements of `kind`, one after the other. Read as a typed array where there is one for the kind, as
 * {@link Elements} for the other scalars, and as a read-only array of views for everything else.
 * @throws StructError BAD_DEFINITION when `length` is not a positive integer
 */
export function array<A>(kind: NativeScalar<number, A> | NativeScalar<bigint, A>, length: number): View<A>;
export function array<T>(kind: Scalar<T>, length: number): View<Elements<T>>;
export function array<T>(kind: View<T>, length: number): View<readonly T[]>;
export function array(kind: Kind<unknown> | NativeScalar<unknown, unknown>, length: number): View<unknown> {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new StructError(
      'BAD_DEFINITION',
      `An array has a positive whole number of elements, not ${length}.`,
    );
  }
  const size = kind.size * length;
  return {
    size,
    alignment: kind.alignment,
    needs: 'typedArray' in kind ? kind.size : kind.needs,
    shape: `${kind.shape}[${length}]`,
    assignable: false,
    view(buffer, byteOffset) {
      if ('typedArray' in kind) return new kind.typedArray(buffer, byteOffset, length);
      if (kind.assignable) return new Elements(kind, new DataView(buffer, byteOffset, size));
      const elements = Array.from({ length }, (_, index) =>
        kind.view(buffer, byteOffset + index * kind.size),
      );
      return Object.freeze(elements);
    },
  };
}

/** `length` bytes, read as a `Uint8Array` over them. */
export const bytes = (length: number): View<Uint8Array> => array(u8, length);
