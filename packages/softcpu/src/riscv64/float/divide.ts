import { Op } from '@tsvmm/wasm-emitter';
import { box, Datum, LEADING_BIT, returnIfNan, returnInvalid, withSign } from './datum.ts';
import { Flag } from './environment.ts';
import { Int64 } from './expression.ts';
import { DOUBLE, type FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';

/** Integers with as many bits as a double's significand convert to double and back without loss. */
const EXACT_SHIFT = LEADING_BIT - DOUBLE.fractionBits;

/** Writes a ÷ b (IEEE 754-2019, 5.4.1): parameters (hart, mode, a, b). */
export function writeDivide(writer: FunctionWriter, format: FloatFormat, roundAndPack: number): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));
  const b = new Datum(writer, format, writer.parameter(3));
  const sign = writer.let(a.sign.xor(b.sign));

  writer.when(a.isFinite.and(b.isFinite).not(), () => {
    returnIfNan(writer, format, [a, b]);
    writer.when(a.isInfinite.and(b.isInfinite), () => returnInvalid(writer, format));
    writer.return(box(format, withSign(format, sign, a.isInfinite.select(format.infinity, 0))));
  });
  writer.when(b.isZero, () => {
    writer.when(a.isZero, () => returnInvalid(writer, format));
    writer.raise(Flag.divideByZero);
    writer.return(box(format, withSign(format, sign, format.infinity)));
  });
  writer.when(a.isZero, () => writer.return(box(format, withSign(format, sign, 0))));

  const left = a.unpack();
  const right = b.unpack();
  const exponent = writer.let(left.exponent.sub(right.exponent).add(format.bias));
  const dividend = writer.let(left.significand.shr(EXACT_SHIFT));
  const divisor = writer.let(right.significand.shr(EXACT_SHIFT));
  writer.when(dividend.ltUnsigned(divisor), () => {
    dividend.set(dividend.shl(1));
    exponent.set(exponent.sub(1));
  });

  // The hardware's quotient in [1, 2) has 53 bits and is at most half a unit off, so that the remainder is below 2^53
  // in magnitude and exact modulo 2^64. It gives the quotient that is rounded down, one more bit, and the sticky bit.
  const quotient = writer.let(
    new Int64((code) => {
      dividend.push(code);
      code.op(Op.f64ConvertI64S);
      divisor.push(code);
      code.op(Op.f64ConvertI64S).op(Op.f64Div);
      code
        .f64Const(2 ** DOUBLE.fractionBits)
        .op(Op.f64Mul)
        .op(Op.i64TruncSatF64S);
    }),
  );
  const remainder = writer.let(dividend.shl(DOUBLE.fractionBits).sub(quotient.mul(divisor)));
  writer.when(remainder.ltSigned(0), () => {
    quotient.set(quotient.sub(1));
    remainder.set(remainder.add(divisor));
  });
  const next = writer.let(remainder.shl(1).geUnsigned(divisor).toInt64());
  const sticky = remainder.shl(1).ne(next.mul(divisor)).toInt64();
  const significand = quotient
    .shl(EXACT_SHIFT)
    .or(next.shl(EXACT_SHIFT - 1))
    .or(sticky);
  writer.return(writer.call(roundAndPack, mode, sign, exponent, significand));
}
