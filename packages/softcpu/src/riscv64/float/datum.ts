import { Flag } from './environment.ts';
import { type Condition, constant, Int64, type Operand, type Variable } from './expression.ts';
import { BOX, type FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';

/**
 * Place of the leading significand bit of a number that is taken apart: the bits below the format's precision are for
 * rounding, the one above is for carries.
 */
export const LEADING_BIT = 62;

/** A finite number other than zero: (−1)^sign × significand × 2^(exponent − bias − {@link LEADING_BIT}). */
export interface Unpacked {
  /** Exponent as in the exponent field, but below 1 for subnormals. */
  readonly exponent: Variable;
  /** At least 2^62 and below 2^63. */
  readonly significand: Variable;
}

/** The raw contents of a register, without the box; what is not boxed right reads as the canonical NaN. */
function unbox(format: FloatFormat, raw: Int64): Int64 {
  if (format.width === 64) {
    return raw;
  }
  return raw.geUnsigned(BOX).select(raw.and(0xffff_ffff), format.canonicalNan);
}

/** The raw contents of a register for an encoding. */
export function box(format: FloatFormat, bits: Operand): Operand {
  if (format.width === 64) {
    return bits;
  }
  return bits instanceof Int64 ? bits.or(BOX) : BigInt(bits) | BOX;
}

/** The encoding of a number from its sign (0 or 1) and the encoding of its magnitude. */
export function withSign(format: FloatFormat, sign: Int64, magnitude: Operand): Int64 {
  return sign.shl(format.width - 1).or(magnitude);
}

/** An operand: its encoding, and what the encoding says (IEEE 754-2019, 3.4). */
export class Datum {
  readonly format: FloatFormat;
  readonly #writer: FunctionWriter;
  readonly bits: Variable;
  /** The encoding with the sign clear: ordered as the magnitudes are, NaNs above infinity. */
  readonly magnitude: Variable;

  /** Reads an operand from raw register contents. */
  constructor(writer: FunctionWriter, format: FloatFormat, raw: Int64) {
    this.format = format;
    this.#writer = writer;
    this.bits = writer.let(unbox(format, raw));
    this.magnitude = writer.let(this.bits.and((1n << BigInt(format.width - 1)) - 1n));
  }

  /** 0 or 1. */
  get sign(): Int64 {
    return this.bits.shr(this.format.width - 1);
  }

  get isZero(): Condition {
    return this.magnitude.isZero();
  }

  get isInfinite(): Condition {
    return this.magnitude.eq(this.format.infinity);
  }

  get isNan(): Condition {
    return this.magnitude.gtUnsigned(this.format.infinity);
  }

  /** A NaN whose first fraction bit is clear (6.2.1). */
  get isSignalingNan(): Condition {
    return this.isNan.and(this.magnitude.ltUnsigned(this.format.canonicalNan));
  }

  get isFinite(): Condition {
    return this.magnitude.ltUnsigned(this.format.infinity);
  }

  /** Takes a finite number other than zero apart. */
  unpack(): Unpacked {
    const { fractionBits } = this.format;
    const writer = this.#writer;
    const exponent = writer.let(this.magnitude.shr(fractionBits));
    const significand = writer.let(this.magnitude.shl(LEADING_BIT - fractionBits));
    const hidden = 1n << BigInt(LEADING_BIT);
    writer.when(
      exponent.isZero(),
      () => {
        const shift = writer.let(significand.clz().sub(63 - LEADING_BIT));
        significand.set(significand.shl(shift));
        exponent.set(constant(1).sub(shift));
      },
      () => significand.set(significand.and(hidden - 1n).or(hidden)),
    );
    return { exponent, significand };
  }
}

/** Returns the canonical NaN if an operand is a NaN; a signalling one is an invalid operation (6.2). */
export function returnIfNan(writer: FunctionWriter, result: FloatFormat, operands: readonly Datum[]): void {
  const any = (of: (operand: Datum) => Condition): Condition => operands.map(of).reduce((a, b) => a.or(b));
  writer.when(
    any((operand) => operand.isNan),
    () => {
      writer.when(
        any((operand) => operand.isSignalingNan),
        () => writer.raise(Flag.invalid),
      );
      writer.return(box(result, result.canonicalNan));
    },
  );
}

/** Returns the canonical NaN for an operation without a meaning (7.2). */
export function returnInvalid(writer: FunctionWriter, format: FloatFormat): void {
  writer.raise(Flag.invalid);
  writer.return(box(format, format.canonicalNan));
}
