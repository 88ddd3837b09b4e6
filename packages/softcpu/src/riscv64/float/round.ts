import type { ModuleBuilder } from '@tsvmm/wasm-emitter';
import { box, LEADING_BIT, withSign } from './datum.ts';
import { Flag, RoundingMode } from './environment.ts';
import { type Condition, constant, Int64, type Operand, type Variable } from './expression.ts';
import type { FloatFormat } from './format.ts';
import { FunctionWriter, internalParameters } from './function-writer.ts';

/**
 * Shifts right and ors what falls out into the lowest bit ("sticky"), so that rounding sees it.
 *
 * @param count 0–63, or more with a value below 2^63.
 */
export function shiftRightJam(writer: FunctionWriter, value: Variable, count: Operand): Int64 {
  const bounded =
    count instanceof Int64 ? writer.let(count.gtUnsigned(63).select(63, count)) : writer.let(count);
  const lost = value.and(constant(1).shl(bounded).sub(1));
  return value.shr(bounded).or(lost.isNotZero().toInt64());
}

/** Sign of an exact zero that is the sum of two numbers of unlike signs (IEEE 754-2019, 6.3). */
export function signOfCancellation(mode: Int64): Int64 {
  return mode.eq(RoundingMode.down).toInt64();
}

/** Rounds `mode` away from zero when anything is lost: the directed modes, for the sign they are directed to. */
export function roundsAway(mode: Int64, sign: Int64): Condition {
  return mode.eq(RoundingMode.up).and(sign.isZero()).or(mode.eq(RoundingMode.down).and(sign.isNotZero()));
}

export function roundsToNearest(mode: Int64): Condition {
  return mode.eq(RoundingMode.nearestEven).or(mode.eq(RoundingMode.nearestMaxMagnitude));
}

/**
 * Adds the function that ends every operation that rounds: (hart, mode, sign, exponent, significand) to the register
 * contents of (−1)^sign × significand × 2^(exponent − bias − 62), rounded (IEEE 754-2019, 4.3), with overflow, underflow
 * (tininess detected after rounding, as the F chapter wants) and inexact raised (7.4–7.6).
 *
 * The significand is at least 2^62 and below 2^63; its lowest bit may be sticky.
 */
export function buildRoundAndPack(module: ModuleBuilder, format: FloatFormat): number {
  const { fractionBits, infinity } = format;
  const roundingBits = LEADING_BIT - fractionBits;
  const half = 1n << BigInt(roundingBits - 1);
  const mask = half * 2n - 1n;

  return FunctionWriter.define(module, internalParameters(4), (writer) => {
    const mode = writer.parameter(1);
    const sign = writer.parameter(2);
    const exponent = writer.parameter(3);
    const significand = writer.parameter(4);
    const flags = writer.let(0);

    const increment = writer.let(roundsToNearest(mode).select(half, roundsAway(mode, sign).select(mask, 0)));

    writer.when(exponent.ltSigned(1), () => {
      // After rounding with unbounded exponent, is the number still below the least normal one?
      const tiny = writer.let(
        exponent
          .ltSigned(0)
          .or(significand.add(increment).ltUnsigned(1n << 63n))
          .toInt64(),
      );
      significand.set(shiftRightJam(writer, significand, constant(1).sub(exponent)));
      exponent.set(1);
      const inexact = significand.and(mask).isNotZero();
      flags.set(inexact.toInt64().and(tiny).mul(Flag.underflow));
    });

    const remainder = writer.let(significand.and(mask));
    const rounded = writer.let(significand.add(increment).shr(roundingBits));
    // A tie was rounded up: to even means without the last bit.
    const tie = mode.eq(RoundingMode.nearestEven).and(remainder.eq(half));
    rounded.set(rounded.and(tie.select(-2, -1)));
    flags.set(flags.or(remainder.isNotZero().toInt64().mul(Flag.inexact)));

    // The leading bit adds 1 to the exponent field, and so does a carry out of the fraction.
    const packed = writer.let(exponent.sub(1).shl(fractionBits).add(rounded));
    writer.when(packed.geUnsigned(infinity), () => {
      flags.set(Flag.overflow | Flag.inexact);
      packed.set(increment.isZero().select(infinity - 1n, infinity));
    });

    writer.when(flags.isNotZero(), () => writer.raise(flags));
    writer.return(box(format, withSign(format, sign, packed)));
  });
}
