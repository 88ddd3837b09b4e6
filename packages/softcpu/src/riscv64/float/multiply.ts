import { box, Datum, returnIfNan, returnInvalid, withSign } from './datum.ts';
import type { Int64, Variable } from './expression.ts';
import type { FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { shiftRightJam } from './round.ts';

/** Both words of the product of two unsigned 64-bit integers, by schoolbook multiplication of their halves. */
export function wideProduct(
  writer: FunctionWriter,
  a: Variable,
  b: Variable,
): { high: Variable; low: Int64 } {
  const half = 0xffff_ffff;
  const middle = writer.let(a.shr(32).mul(b.and(half)));
  middle.set(middle.add(a.and(half).mul(b.and(half)).shr(32)));
  const otherMiddle = writer.let(a.and(half).mul(b.shr(32)).add(middle.and(half)));
  const high = writer.let(a.shr(32).mul(b.shr(32)).add(middle.shr(32)).add(otherMiddle.shr(32)));
  return { high, low: a.mul(b) };
}

/** Writes a × b (IEEE 754-2019, 5.4.1): parameters (hart, mode, a, b). */
export function writeMultiply(writer: FunctionWriter, format: FloatFormat, roundAndPack: number): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));
  const b = new Datum(writer, format, writer.parameter(3));
  const sign = writer.let(a.sign.xor(b.sign));

  writer.when(a.isFinite.and(b.isFinite).not(), () => {
    returnIfNan(writer, format, [a, b]);
    writer.when(a.isZero.or(b.isZero), () => returnInvalid(writer, format));
    writer.return(box(format, withSign(format, sign, format.infinity)));
  });
  writer.when(a.isZero.or(b.isZero), () => writer.return(box(format, withSign(format, sign, 0))));

  const left = a.unpack();
  const right = b.unpack();
  // With leading bits at 63, the product has its own at 62 or 63 of the high word.
  left.significand.set(left.significand.shl(1));
  right.significand.set(right.significand.shl(1));
  const { high, low } = wideProduct(writer, left.significand, right.significand);
  const exponent = writer.let(left.exponent.add(right.exponent).sub(format.bias));
  const product = writer.let(high.or(low.isNotZero().toInt64()));
  writer.when(product.ltSigned(0), () => {
    product.set(shiftRightJam(writer, product, 1));
    exponent.set(exponent.add(1));
  });
  writer.return(writer.call(roundAndPack, mode, sign, exponent, product));
}
