import { StructError } from './errors.ts';
import type { NativeScalar, Property, Scalar } from './kind.ts';

const TWO_32 = 2 ** 32;

/** `lo` + 2^32 × `hi`, or an error when that is not exact as a number. */
function join(lo: number, hi: number): number {
  if (hi >= 0x20_0000) {
    const value = (BigInt(hi) << 32n) | BigInt(lo);
    throw new StructError(
      'NOT_SAFE_INTEGER',
      `The 64-bit field holds 0x${value.toString(16)}, above 2^53 - 1: declare it u64big or u64split.`,
    );
  }
  return hi * TWO_32 + lo;
}

/** The upper half of a number to be stored in 64 bits, which must be an integer from 0 to 2^53 - 1. */
function upper(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new StructError(
      'NOT_SAFE_INTEGER',
      `${value} cannot be stored in a u64 field: it takes integers from 0 to 2^53 - 1.`,
    );
  }
  return Math.floor(value / TWO_32);
}

/** Access through the DataView, for fields a packed structure puts at an odd address. */
function unaligned<T>(scalar: Pick<Scalar<T>, 'load' | 'store'>, offset: number): Property<T> {
  return {
    get() {
      return scalar.load(this.$data, offset);
    },
    set(value) {
      scalar.store(this.$data, offset, value);
    },
  };
}

function scalar<T, Extra extends object>(
  shape: string,
  size: number,
  load: Scalar<T>['load'],
  store: Scalar<T>['store'],
  natural: ((offset: number) => Property<T>) | null,
  extra: Extra,
): Scalar<T> & Extra {
  return {
    shape,
    size,
    alignment: size,
    needs: 1,
    assignable: true,
    load,
    store,
    property: (offset, isNatural) =>
      natural && isNatural ? natural(offset) : unaligned({ load, store }, offset),
    ...extra,
  };
}

// One literal getter and setter per kind: the engine then specialises each for its typed array. The `as` casts
// say that the index is inside the array, which the layout's size guarantees.

/** 8 bits, unsigned. Like all integer kinds, assignment keeps the low bits of the value. */
export const u8: NativeScalar<number, Uint8Array> = scalar(
  'u8',
  1,
  (data, at) => data.getUint8(at),
  (data, at, value: number) => data.setUint8(at, value),
  (i) => ({
    get() {
      return this.$u8[i] as number;
    },
    set(value) {
      this.$u8[i] = value;
    },
  }),
  { typedArray: Uint8Array },
);

/** 8 bits, two's complement. */
export const i8: NativeScalar<number, Int8Array> = scalar(
  'i8',
  1,
  (data, at) => data.getInt8(at),
  (data, at, value: number) => data.setInt8(at, value),
  (i) => ({
    get() {
      return this.$i8[i] as number;
    },
    set(value) {
      this.$i8[i] = value;
    },
  }),
  { typedArray: Int8Array },
);

/** 16 bits, unsigned, little-endian. */
export const u16: NativeScalar<number, Uint16Array> = scalar(
  'u16',
  2,
  (data, at) => data.getUint16(at, true),
  (data, at, value: number) => data.setUint16(at, value, true),
  (offset) => {
    const i = offset / 2;
    return {
      get() {
        return this.$u16[i] as number;
      },
      set(value) {
        this.$u16[i] = value;
      },
    };
  },
  { typedArray: Uint16Array },
);

/** 16 bits, two's complement, little-endian. */
export const i16: NativeScalar<number, Int16Array> = scalar(
  'i16',
  2,
  (data, at) => data.getInt16(at, true),
  (data, at, value: number) => data.setInt16(at, value, true),
  (offset) => {
    const i = offset / 2;
    return {
      get() {
        return this.$i16[i] as number;
      },
      set(value) {
        this.$i16[i] = value;
      },
    };
  },
  { typedArray: Int16Array },
);

/** 32 bits, unsigned, little-endian. */
export const u32: NativeScalar<number, Uint32Array> = scalar(
  'u32',
  4,
  (data, at) => data.getUint32(at, true),
  (data, at, value: number) => data.setUint32(at, value, true),
  (offset) => {
    const i = offset / 4;
    return {
      get() {
        return this.$u32[i] as number;
      },
      set(value) {
        this.$u32[i] = value;
      },
    };
  },
  { typedArray: Uint32Array },
);

/** 32 bits, two's complement, little-endian. */
export const i32: NativeScalar<number, Int32Array> = scalar(
  'i32',
  4,
  (data, at) => data.getInt32(at, true),
  (data, at, value: number) => data.setInt32(at, value, true),
  (offset) => {
    const i = offset / 4;
    return {
      get() {
        return this.$i32[i] as number;
      },
      set(value) {
        this.$i32[i] = value;
      },
    };
  },
  { typedArray: Int32Array },
);

/**
 * 64 bits, unsigned, little-endian, as a number: addresses and lengths.
 * @throws StructError NOT_SAFE_INTEGER when a value above 2^53 - 1 is read, or anything but 0 to 2^53 - 1 assigned
 */
export const u64: Scalar<number> = scalar(
  'u64',
  8,
  (data, at) => join(data.getUint32(at, true), data.getUint32(at + 4, true)),
  (data, at, value: number) => {
    const hi = upper(value);
    data.setUint32(at, value % TWO_32, true);
    data.setUint32(at + 4, hi, true);
  },
  (offset) => {
    const i = offset / 4;
    return {
      get() {
        return join(this.$u32[i] as number, this.$u32[i + 1] as number);
      },
      set(value) {
        const hi = upper(value);
        this.$u32[i] = value % TWO_32;
        this.$u32[i + 1] = hi;
      },
    };
  },
  {},
);

/** 64 bits, unsigned, little-endian, as a bigint: any value, at a bigint's price. */
export const u64big: NativeScalar<bigint, BigUint64Array> = scalar(
  'u64',
  8,
  (data, at) => data.getBigUint64(at, true),
  (data, at, value: bigint) => data.setBigUint64(at, value, true),
  (offset) => {
    const i = offset / 8;
    return {
      get() {
        return this.$u64[i] as bigint;
      },
      set(value) {
        this.$u64[i] = value;
      },
    };
  },
  { typedArray: BigUint64Array },
);

/** 64 bits, two's complement, little-endian, as a bigint. */
export const i64big: NativeScalar<bigint, BigInt64Array> = scalar(
  'i64',
  8,
  (data, at) => data.getBigInt64(at, true),
  (data, at, value: bigint) => data.setBigInt64(at, value, true),
  (offset) => {
    const i = offset / 8;
    return {
      get() {
        return this.$i64[i] as bigint;
      },
      set(value) {
        this.$i64[i] = value;
      },
    };
  },
  { typedArray: BigInt64Array },
);

/** 16 bits, unsigned, big-endian. */
export const be16: Scalar<number> = scalar(
  'be16',
  2,
  (data, at) => data.getUint16(at),
  (data, at, value: number) => data.setUint16(at, value),
  (i) => ({
    get() {
      return this.$data.getUint16(i);
    },
    set(value) {
      this.$data.setUint16(i, value);
    },
  }),
  {},
);

/** 32 bits, unsigned, big-endian. */
export const be32: Scalar<number> = scalar(
  'be32',
  4,
  (data, at) => data.getUint32(at),
  (data, at, value: number) => data.setUint32(at, value),
  (i) => ({
    get() {
      return this.$data.getUint32(i);
    },
    set(value) {
      this.$data.setUint32(i, value);
    },
  }),
  {},
);

/** 64 bits, unsigned, big-endian, as a number; limits and errors as {@link u64}. */
export const be64: Scalar<number> = scalar(
  'be64',
  8,
  (data, at) => join(data.getUint32(at + 4), data.getUint32(at)),
  (data, at, value: number) => {
    data.setUint32(at, upper(value));
    data.setUint32(at + 4, value % TWO_32);
  },
  null,
  {},
);

/** 64 bits, unsigned, big-endian, as a bigint. */
export const be64big: Scalar<bigint> = scalar(
  'be64',
  8,
  (data, at) => data.getBigUint64(at),
  (data, at, value: bigint) => data.setBigUint64(at, value),
  null,
  {},
);
