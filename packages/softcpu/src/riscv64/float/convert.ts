import { Op } from '@tsvmm/wasm-emitter';
import { box, Datum, LEADING_BIT, returnIfNan, withSign } from './datum.ts';
import { Flag, RoundingMode } from './environment.ts';
import { constant, Int64, type Operand, type Variable } from './expression.ts';
import { DOUBLE, type FloatFormat, SINGLE } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { roundsAway, shiftRightJam } from './round.ts';

/** Writes the conversion of double to single precision (IEEE 754-2019, 5.4.2): parameters (hart, mode, a). */
export function writeNarrow(writer: FunctionWriter, roundAndPackSingle: number): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, DOUBLE, writer.parameter(2));
  const sign = writer.let(a.sign);
  returnIfNan(writer, SINGLE, [a]);
  writer.when(a.isInfinite.or(a.isZero), () =>
    writer.return(box(SINGLE, withSign(SINGLE, sign, a.isZero.select(0, SINGLE.infinity)))),
  );
  const { exponent, significand } = a.unpack();
  exponent.set(exponent.sub(DOUBLE.bias - SINGLE.bias));
  writer.return(writer.call(roundAndPackSingle, mode, sign, exponent, significand));
}

/** Writes the conversion of single to double precision, which is exact: parameters (hart, a). */
export function writeWiden(writer: FunctionWriter): void {
  const a = new Datum(writer, SINGLE, writer.parameter(1));
  returnIfNan(writer, DOUBLE, [a]);
  writer.return(
    new Int64((code) => {
      a.bits.push(code);
      code.op(Op.i32WrapI64).op(Op.f32ReinterpretI32).op(Op.f64PromoteF32).op(Op.i64ReinterpretF64);
    }),
  );
}

/** Writes the conversion of a 64-bit integer (IEEE 754-2019, 5.4.1 convertFromInt): parameters (hart, mode, integer). */
export function writeFromInteger(
  writer: FunctionWriter,
  format: FloatFormat,
  signed: boolean,
  roundAndPack: number,
): void {
  const mode = writer.roundingMode(1);
  const integer = writer.parameter(2);
  writer.when(integer.isZero(), () => writer.return(box(format, 0)));

  const sign = writer.let(signed ? integer.shr(63) : 0);
  const significand = writer.let(signed ? sign.isNotZero().select(integer.negate(), integer) : integer);
  const exponent = writer.let(format.bias + LEADING_BIT);
  writer.when(
    significand.ltSigned(0),
    () => {
      significand.set(shiftRightJam(writer, significand, 1));
      exponent.set(exponent.add(1));
    },
    () => {
      const shift = writer.let(significand.clz().sub(63 - LEADING_BIT));
      significand.set(significand.shl(shift));
      exponent.set(exponent.sub(shift));
    },
  );
  writer.return(writer.call(roundAndPack, mode, sign, exponent, significand));
}

/** An integer that is converted to: `w`, `wu`, `l` and `lu` of the mnemonics. */
export interface IntegerFormat {
  readonly width: 32 | 64;
  readonly signed: boolean;
}

/**
 * Writes the conversion to an integer (IEEE 754-2019, 5.4.1 convertToInteger…Exact): parameters (hart, mode, a). What is
 * not representable gives the nearest limit, a NaN the upper one, and invalid (F chapter, "Domains of float-to-integer
 * conversions and behavior for invalid inputs").
 */
export function writeToInteger(writer: FunctionWriter, format: FloatFormat, integer: IntegerFormat): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));
  const { width, signed } = integer;
  const greatest = 2n ** BigInt(signed ? width - 1 : width) - 1n;
  const least = signed ? -(greatest + 1n) : 0n;
  /** 32-bit results are sign-extended, unsigned ones too. */
  const result = (value: bigint): bigint => BigInt.asIntN(width, value);
  const returnLimit = (atMost: Operand): void => {
    writer.raise(Flag.invalid);
    writer.return(atMost);
  };

  writer.when(a.isZero, () => writer.return(0));
  writer.when(a.isNan, () => returnLimit(result(greatest)));
  const sign = writer.let(a.sign);
  const limit = sign.isZero().select(result(greatest), result(least));

  // Also infinities: theirs is the greatest exponent. 2^64 is out of everything's range.
  const { exponent, significand } = a.unpack();
  const power = writer.let(exponent.sub(format.bias));
  writer.when(power.gtSigned(63), () => returnLimit(limit));

  const { whole, fraction } = split(writer, power, significand);
  const half = 1n << 63n;
  const away = roundsAway(mode, sign).and(fraction.isNotZero());
  const nearest = mode
    .eq(RoundingMode.nearestEven)
    .and(fraction.gtUnsigned(half).or(fraction.eq(half).and(whole.and(1).isNotZero())));
  const nearestAway = mode.eq(RoundingMode.nearestMaxMagnitude).and(fraction.geUnsigned(half));
  whole.set(whole.add(away.or(nearest).or(nearestAway).toInt64()));

  // Magnitude of the limit on this side of zero: greatest or −least.
  const bound = signed ? sign.add(greatest) : sign.isZero().select(greatest, 0);
  writer.when(whole.gtUnsigned(bound), () => returnLimit(limit));
  writer.when(fraction.isNotZero(), () => writer.raise(Flag.inexact));
  const value = sign.isZero().select(whole, whole.negate());
  writer.return(width === 32 ? value.extend32() : value);
}

/**
 * Splits significand × 2^(power − 62), power being at most 63, into its whole part and a fraction of 2^−64s, which is
 * jammed for powers below −1.
 */
function split(
  writer: FunctionWriter,
  power: Variable,
  significand: Variable,
): { whole: Variable; fraction: Variable } {
  const whole = writer.let(0);
  const fraction = writer.let(1);
  writer.when(
    power.gtSigned(LEADING_BIT - 1),
    () => {
      whole.set(significand.shl(power.sub(LEADING_BIT)));
      fraction.set(0);
    },
    () =>
      writer.when(power.geSigned(-1), () => {
        const shift = writer.let(constant(LEADING_BIT).sub(power));
        whole.set(significand.shr(shift));
        fraction.set(significand.shl(shift.negate()));
      }),
  );
  return { whole, fraction };
}
