import { RECORD } from './oracle.ts';

/** Parameters of a binary interchange format. */
interface Format {
  readonly fractionBits: number;
  readonly maxExponent: number;
  readonly bias: number;
  readonly boxed: boolean;
}

const SINGLE: Format = { fractionBits: 23, maxExponent: 255, bias: 127, boxed: true };
const DOUBLE: Format = { fractionBits: 52, maxExponent: 2047, bias: 1023, boxed: false };

interface Float {
  readonly sign: number;
  readonly exponent: number;
  /** The fraction field: at most 52 bits, so a safe integer. */
  readonly fraction: number;
}

/** xorshift128 (Marsaglia): repeatable, and good enough for operands. */
export class Random {
  readonly #state = Uint32Array.of(123_456_789, 362_436_069, 521_288_629, 0);

  constructor(seed: number) {
    this.#state[3] = seed | 1;
    for (let i = 0; i < 32; i++) {
      this.bits32();
    }
  }

  bits32(): number {
    const [x = 0, y = 0, z = 0, w = 0] = this.#state;
    const t = x ^ (x << 11);
    const next = (w ^ (w >>> 19) ^ t ^ (t >>> 8)) >>> 0;
    this.#state.set([y, z, w, next]);
    return next;
  }

  /** An integer from 0 to `limit` − 1. */
  below(limit: number): number {
    return Math.floor((this.bits32() / 2 ** 32) * limit);
  }

  /** An integer below 2^bits; at most 53 bits. */
  bits(bits: number): number {
    const high = this.bits32() * 2 ** 21 + (this.bits32() >>> 11);
    return Math.floor(high / 2 ** (53 - bits));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

/** Fractions that are near ties, carries and borrows more often than uniform ones. */
function fraction(random: Random, bits: number): number {
  const all = 2 ** bits - 1;
  const bit = (): number => 2 ** random.below(bits);
  switch (random.below(8)) {
    case 0:
      return 0;
    case 1:
      return all;
    case 2:
      return Math.min(all, bit() + random.below(2) * bit());
    case 3:
      return Math.max(0, all - bit() - random.below(2));
    case 4:
      return all - (bit() - 1);
    case 5:
      return bit() - 1;
    default:
      return random.bits(bits);
  }
}

function edges(format: Format): Float[] {
  const { fractionBits, maxExponent, bias } = format;
  const all = 2 ** fractionBits - 1;
  const quiet = 2 ** (fractionBits - 1);
  const magnitudes: [number, number][] = [
    [0, 0],
    [0, 1],
    [0, 2],
    [0, quiet],
    [0, all],
    [1, 0],
    [1, 1],
    [2, 0],
    [bias - fractionBits - 1, 0],
    [bias - 2, all],
    [bias - 1, 0],
    [bias - 1, 1],
    [bias - 1, all],
    [bias, 0],
    [bias, 1],
    [bias, quiet],
    [bias, all],
    [bias + 1, 0],
    [bias + 1, quiet],
    [bias + fractionBits, 1],
    [bias + fractionBits + 1, 0],
    [bias + 31, 0],
    [bias + 30, all],
    [bias + 63, 0],
    [bias + 62, all],
    [bias + 64, 0],
    [bias + 63, all],
    [maxExponent - 1, 0],
    [maxExponent - 1, all],
    [maxExponent, 0],
    [maxExponent, 1],
    [maxExponent, quiet],
    [maxExponent, quiet - 1],
    [maxExponent, all],
  ];
  return magnitudes.flatMap(([exponent, fraction]) => [0, 1].map((sign) => ({ sign, exponent, fraction })));
}

class OperandGenerator {
  readonly #random: Random;
  readonly #format: Format;
  readonly #edges: readonly Float[];

  constructor(format: Format, seed: number) {
    this.#format = format;
    this.#random = new Random(seed);
    this.#edges = edges(format);
  }

  get edges(): readonly Float[] {
    return this.#edges;
  }

  any(): Float {
    const random = this.#random;
    const { maxExponent, bias, fractionBits } = this.#format;
    switch (random.below(8)) {
      case 0:
        return random.pick(this.#edges);
      case 1:
        return this.#with(random.below(fractionBits + 4));
      case 2:
        return this.#with(maxExponent - random.below(5));
      case 3:
      case 4:
        return this.#with(bias + random.below(9) - 4);
      case 5:
        return this.#with(bias + random.below(140) - 70);
      default:
        return this.#with(random.below(maxExponent + 1));
    }
  }

  /** Exponents whose difference to another's matters: alignment in sums. */
  near({ exponent }: Float, distance = this.#format.fractionBits + 4): Float {
    return this.#with(exponent + this.#random.below(2 * distance + 1) - distance);
  }

  /** Exponents whose sum with another's is about a limit of the format. */
  atLimitOfProduct({ exponent }: Float): Float {
    return this.#with(this.#limit() + this.#format.bias - exponent);
  }

  atLimitOfQuotient({ exponent }: Float): Float {
    return this.#with(exponent + this.#format.bias - this.#limit());
  }

  /** Addends of about the magnitude of a product; often so that nearly everything cancels. */
  nearProduct(a: Float, b: Float): Float {
    const { bias, fractionBits } = this.#format;
    const scale = 2 ** fractionBits;
    const significand = (1 + a.fraction / scale) * (1 + b.fraction / scale);
    const carry = significand >= 2 ? 1 : 0;
    const exponent = a.exponent + b.exponent - bias + carry;
    if (this.#random.below(3) > 0) {
      return this.near({ sign: 0, exponent, fraction: 0 }, 2 * fractionBits + 6);
    }
    const fraction = Math.trunc((significand / (1 + carry) - 1) * scale) + this.#random.below(5) - 2;
    const sign = 1 ^ a.sign ^ b.sign;
    return this.#bounded({ sign, exponent, fraction: Math.min(Math.max(fraction, 0), scale - 1) });
  }

  /** Values about integers and halves. */
  nearInteger(): Float {
    return this.#with(this.#format.bias + this.#random.below(68) - 3);
  }

  square({ exponent, fraction }: Float): Float {
    const root =
      1 + (fraction - (fraction % 2 ** (this.#format.fractionBits >> 1))) / 2 ** this.#format.fractionBits;
    const scaled = (root * root >= 2 ? (root * root) / 2 : root * root) - 1;
    const value = Math.trunc(scaled * 2 ** this.#format.fractionBits) + this.#random.below(3) - 1;
    return this.#bounded({ sign: 0, exponent, fraction: Math.max(0, value) });
  }

  /** Writes a value as register contents; single precision is now and then not boxed. */
  encode({ sign, exponent, fraction }: Float): bigint {
    if (!this.#format.boxed) {
      const high = ((sign << 31) | (exponent << 20) | Math.floor(fraction / 2 ** 32)) >>> 0;
      return (BigInt(high) << 32n) | BigInt(fraction >>> 0);
    }
    const bits = BigInt(((sign << 31) | (exponent << 23) | fraction) >>> 0);
    switch (this.#random.below(64)) {
      case 0:
        return bits;
      case 1:
        return (0xffff_fffen << 32n) | bits;
      default:
        return (0xffff_ffffn << 32n) | bits;
    }
  }

  #limit(): number {
    const { fractionBits, maxExponent } = this.#format;
    return this.#random.below(2) === 0
      ? this.#random.below(fractionBits + 6) - fractionBits - 3
      : maxExponent - 3 + this.#random.below(5);
  }

  #with(exponent: number): Float {
    return this.#bounded({
      sign: this.#random.below(2),
      exponent,
      fraction: fraction(this.#random, this.#format.fractionBits),
    });
  }

  #bounded(value: Float): Float {
    return { ...value, exponent: Math.min(Math.max(value.exponent, 0), this.#format.maxExponent) };
  }
}

function integer(random: Random): bigint {
  const magnitude = (BigInt(random.bits32()) << 32n) | BigInt(random.bits32());
  const shifted = magnitude >> BigInt(random.below(64));
  const bit = 1n << BigInt(random.below(64));
  const value = [magnitude, shifted, bit - 1n, bit, bit + 1n, bit | (bit >> 24n), shifted & ~0x7ffn, 0n][
    random.below(8)
  ];
  return BigInt.asUintN(64, random.below(2) === 0 ? (value ?? 0n) : -(value ?? 0n));
}

/** Writes records for an operation: all pairs of edge cases as far as they fit, then random ones made for it. */
export function operandsFor(operation: string, count: number, seed: number): BigUint64Array<ArrayBuffer> {
  const records = new BigUint64Array(count * RECORD);
  const [, name = '', ...suffixes] = /^(f[a-z]+)_(.*)$/.exec(operation) ?? [];
  const suffix = suffixes.join().split('_').at(-1) ?? '';
  const random = new Random(seed ^ 0x5bd1_e995);
  if (/^(w|l)u?$|^x$/.test(suffix) && operation !== 'fmv_x_w') {
    for (let i = 0; i < count; i++) {
      records[i * RECORD] = integer(random);
    }
    return records;
  }

  const generator = new OperandGenerator(suffix === 's' || suffix === 'w' ? SINGLE : DOUBLE, seed);
  const { edges } = generator;
  const unary = /^f(sqrt|cvt|class|mv)$/.test(name);
  const edgeRecords = Math.min(unary ? edges.length : edges.length ** 2, count >> 1);
  // A stride that has no factor in common with the number of pairs visits all of them.
  const stride = 1_000_003;
  for (let i = 0; i < count; i++) {
    let a = generator.any();
    let b = generator.any();
    let c = generator.any();
    if (i < edgeRecords) {
      const pair = unary ? i : (i * stride) % edges.length ** 2;
      a = edges[pair % edges.length] ?? a;
      b = edges[Math.floor(pair / edges.length)] ?? b;
      c = edges[random.below(edges.length)] ?? c;
    } else if (random.below(4) > 0) {
      switch (name) {
        case 'fmul':
          b = generator.atLimitOfProduct(a);
          break;
        case 'fdiv':
          b = generator.atLimitOfQuotient(a);
          break;
        case 'fsqrt':
          a = generator.square(a);
          break;
        case 'fcvt':
          a = generator.nearInteger();
          break;
        case 'fmadd':
        case 'fmsub':
        case 'fnmadd':
        case 'fnmsub':
          b = random.below(2) === 0 ? b : generator.atLimitOfProduct(a);
          c = generator.nearProduct(a, b);
          break;
        default:
          b = generator.near(a);
      }
    }
    // Quiet coincidences: operands that are equal or opposite.
    if (random.below(32) === 0) {
      b = { ...a, sign: random.below(2) };
    }
    records.set([generator.encode(a), generator.encode(b), generator.encode(c)], i * RECORD);
  }
  return records;
}
