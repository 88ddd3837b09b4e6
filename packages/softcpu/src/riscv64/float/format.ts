/** An IEEE 754-2019 binary interchange format (section 3.4), as everything here is parametrised with it. */
export interface FloatFormat {
  /** Suffix of the operations on it: `s` or `d`. */
  readonly suffix: 's' | 'd';
  /** Bits of an encoding. */
  readonly width: number;
  /** Bits of the trailing significand field: precision less one. */
  readonly fractionBits: number;
  /** Largest value of the exponent field: infinities and NaNs. */
  readonly maxExponent: number;
  readonly bias: number;
  /** Encoding of +∞; every larger magnitude is a NaN. */
  readonly infinity: bigint;
  /** Encoding of the NaN that every operation returns: positive, quiet, no payload (F chapter, "NaN Generation and Propagation"). */
  readonly canonicalNan: bigint;
}

function binaryFormat(suffix: 's' | 'd', width: number, fractionBits: number): FloatFormat {
  const exponentBits = width - 1 - fractionBits;
  const maxExponent = 2 ** exponentBits - 1;
  const infinity = BigInt(maxExponent) << BigInt(fractionBits);
  return {
    suffix,
    width,
    fractionBits,
    maxExponent,
    bias: 2 ** (exponentBits - 1) - 1,
    infinity,
    canonicalNan: infinity | (1n << BigInt(fractionBits - 1)),
  };
}

/** binary32 */
export const SINGLE = binaryFormat('s', 32, 23);
/** binary64 */
export const DOUBLE = binaryFormat('d', 64, 52);

/** What the upper half of a register holds above a single-precision value (D chapter, "NaN Boxing of Narrower Values"). */
export const BOX = 0xffff_ffffn << 32n;
