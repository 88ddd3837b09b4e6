import { box, Datum, LEADING_BIT, returnIfNan, returnInvalid, withSign } from './datum.ts';
import type { FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { shiftRightJam, signOfCancellation } from './round.ts';

/** Writes a + b (IEEE 754-2019, 5.4.1): parameters (hart, mode, a, b). */
export function writeAdd(writer: FunctionWriter, format: FloatFormat, roundAndPack: number): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));
  const b = new Datum(writer, format, writer.parameter(3));

  writer.when(a.isFinite.and(b.isFinite).not(), () => {
    returnIfNan(writer, format, [a, b]);
    writer.when(a.isInfinite.and(b.isInfinite).and(a.sign.ne(b.sign)), () => returnInvalid(writer, format));
    writer.return(box(format, a.isInfinite.select(a.bits, b.bits)));
  });

  const swap = a.magnitude.ltUnsigned(b.magnitude);
  const large = writer.let(swap.select(b.magnitude, a.magnitude));
  const small = writer.let(swap.select(a.magnitude, b.magnitude));
  const sign = writer.let(swap.select(b.sign, a.sign));

  // Subnormals stay as they are: exponent 1 without the leading bit.
  const { fractionBits } = format;
  const alignment = LEADING_BIT - fractionBits;
  const fraction = (1n << BigInt(fractionBits)) - 1n;
  const largeField = writer.let(large.shr(fractionBits));
  const smallField = writer.let(small.shr(fractionBits));
  const leading = (field: typeof largeField) => field.isNotZero().toInt64().shl(LEADING_BIT);
  const exponent = writer.let(largeField.add(largeField.isZero().toInt64()));
  const distance = exponent.sub(smallField.add(smallField.isZero().toInt64()));
  const augend = writer.let(large.and(fraction).shl(alignment).or(leading(largeField)));
  const addend = writer.let(small.and(fraction).shl(alignment).or(leading(smallField)));
  addend.set(shiftRightJam(writer, addend, distance));

  const unlike = writer.let(a.sign.xor(b.sign));
  const sum = writer.let(unlike.isZero().select(augend.add(addend), augend.sub(addend)));
  writer.when(sum.isZero(), () => {
    // Zeros of the same sign keep it (6.3).
    const signOfZero = unlike.isZero().select(sign, signOfCancellation(mode));
    writer.return(box(format, withSign(format, signOfZero, 0)));
  });

  writer.when(
    sum.ltSigned(0),
    () => {
      sum.set(shiftRightJam(writer, sum, 1));
      exponent.set(exponent.add(1));
    },
    () => {
      const shift = writer.let(sum.clz().sub(63 - LEADING_BIT));
      sum.set(sum.shl(shift));
      exponent.set(exponent.sub(shift));
    },
  );
  writer.return(writer.call(roundAndPack, mode, sign, exponent, sum));
}

/**
 * Writes a − b as a + (−b), which is the same for everything but NaNs, whose sign nobody sees: parameters (hart, mode, a, b).
 * Negation leaves the box of b as it is.
 */
export function writeSubtract(writer: FunctionWriter, format: FloatFormat, add: number): void {
  const { code } = writer;
  const negated = writer.parameter(3).xor(1n << BigInt(format.width - 1));
  code.get(writer.hart).get(1);
  writer.parameter(2).push(code);
  negated.push(code);
  code.returnCall(add);
}
