import { box } from './datum.ts';
import { Flag, RoundingMode } from './environment.ts';
import type { Condition } from './expression.ts';
import { BOX, type FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { letReal, Real } from './real.ts';

/*
 * A program whose floating-point numbers are integers never accumulates inexact, and would compute everything in integers.
 * In round to nearest even, helpers therefore begin with the hardware's result r and ask the hardware whether it is exact:
 *
 * - Sums: TwoSum (Knuth, TAOCP 2, 4.2.2) gives the rounding error of a sum, exactly. Where something overflows on the way
 *   or an operand is not finite, the error is not finite either. Sums do not underflow.
 * - Products, quotients and roots of doubles: r is exact if a × b − r, r × b − a or r × r − a is zero. A fused multiply-add
 *   rounds only that difference, which is a multiple of the product of two units in the last place, so at least 2^-106
 *   times as large as what is subtracted if it is not zero. From 2^-900 up it cannot round to zero.
 * - The same of singles: doubles hold products of two singles exactly.
 *
 * As in `semantics/float-arithmetic.ts`, r raises nothing but inexact if it is finite and above the least normal number.
 */

/** Below this magnitude, differences of doubles could vanish by underflow. */
const SAFE_FOR_DIFFERENCE = 2 ** -900;

/**
 * Writes an attempt to compute with the hardware, for helpers with the parameters (hart, mode, operands…).
 *
 * @param compute gets the operands as numbers of the format and writes returns where it knows the result.
 */
function inNearestEven(
  writer: FunctionWriter,
  format: FloatFormat,
  operandCount: number,
  compute: (...operands: Real[]) => void,
): void {
  const operands = Array.from({ length: operandCount }, (_, index) => writer.parameter(2 + index));
  let applies = writer.roundingMode(1).eq(RoundingMode.nearestEven);
  if (format.width === 32) {
    for (const operand of operands) {
      applies = applies.and(operand.geUnsigned(BOX));
    }
  }
  writer.when(applies, () => {
    compute(...operands.map((operand) => letReal(writer, Real.fromBits(format.suffix, operand))));
  });
}

function returnIf(
  writer: FunctionWriter,
  format: FloatFormat,
  valid: Condition,
  exact: Condition,
  result: Real,
): void {
  writer.when(valid, () => {
    writer.when(exact.not(), () => writer.raise(Flag.inexact));
    writer.return(box(format, result.toBits()));
  });
}

/** Finite and above the least normal number. */
function isInside(format: FloatFormat, value: Real): Condition {
  return value.isFinite().and(value.isAbove(2 ** (1 - format.bias)));
}

/** TwoSum: a + b − sum. */
function errorOfSum(writer: FunctionWriter, a: Real, b: Real, sum: Real): Real {
  const fromB = letReal(writer, sum.sub(a));
  return letReal(writer, a.sub(sum.sub(fromB)).add(b.sub(fromB)));
}

/** a + b */
export function tryAdd(writer: FunctionWriter, format: FloatFormat): void {
  inNearestEven(writer, format, 2, (x, y) => {
    const sum = letReal(writer, x.add(y));
    const error = errorOfSum(writer, x, y, sum);
    returnIf(writer, format, error.isFinite(), error.isZero(), sum);
  });
}

/** a × b; of doubles only where the hardware fuses. */
export function tryMultiply(writer: FunctionWriter, format: FloatFormat): void {
  inNearestEven(writer, format, 2, (x, y) => {
    const product = letReal(writer, x.mul(y));
    if (format.width === 32) {
      const exact = x.widen().mul(y.widen()).equals(product.widen());
      returnIf(writer, format, isInside(format, product), exact, product);
    } else {
      const safe = product.isFinite().and(product.isAbove(SAFE_FOR_DIFFERENCE));
      returnIf(writer, format, safe, x.multiplyAdd(y, product.negated()).isZero(), product);
    }
  });
}

/** a ÷ b; of doubles only where the hardware fuses. */
export function tryDivide(writer: FunctionWriter, format: FloatFormat): void {
  inNearestEven(writer, format, 2, (x, y) => {
    const quotient = letReal(writer, x.div(y));
    if (format.width === 32) {
      const exact = quotient.widen().mul(y.widen()).equals(x.widen());
      returnIf(writer, format, isInside(format, quotient), exact, quotient);
    } else {
      const safe = isInside(format, quotient).and(x.isAbove(SAFE_FOR_DIFFERENCE));
      returnIf(writer, format, safe, quotient.multiplyAdd(y, x.negated()).isZero(), quotient);
    }
  });
}

/** √a; of doubles only where the hardware fuses. */
export function trySquareRoot(writer: FunctionWriter, format: FloatFormat): void {
  inNearestEven(writer, format, 1, (x) => {
    const root = letReal(writer, x.sqrt());
    if (format.width === 32) {
      const exact = root.widen().mul(root.widen()).equals(x.widen());
      returnIf(writer, format, isInside(format, root), exact, root);
    } else {
      const safe = root.isFinite().and(x.isAbove(SAFE_FOR_DIFFERENCE));
      returnIf(writer, format, safe, root.multiplyAdd(root, x.negated()).isZero(), root);
    }
  });
}

/** a × b + c where the product is exact, so that it is a sum; of doubles only where the hardware fuses. */
export function tryMultiplyAdd(writer: FunctionWriter, format: FloatFormat): void {
  inNearestEven(writer, format, 3, (x, y, z) => {
    const product = letReal(writer, x.widen().mul(y.widen()));
    const addend = z.widen();
    const sum = letReal(writer, product.add(addend));
    const error = errorOfSum(writer, product, addend, sum);
    if (format.width === 32) {
      // An exact sum is rounded once, to single precision.
      const result = letReal(writer, sum.narrow());
      const valid = error.isZero().and(isInside(format, result));
      returnIf(writer, format, valid, result.widen().equals(sum), result);
    } else {
      const productIsExact = product
        .isAbove(SAFE_FOR_DIFFERENCE)
        .and(x.multiplyAdd(y, product.negated()).isZero());
      returnIf(writer, format, productIsExact.and(error.isFinite()), error.isZero(), sum);
    }
  });
}
