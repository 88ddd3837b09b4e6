import { Op } from '@tsvmm/wasm-emitter';
import { box, Datum, LEADING_BIT, returnIfNan, returnInvalid } from './datum.ts';
import { constant, Int64 } from './expression.ts';
import { DOUBLE, type FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';

const EXACT_SHIFT = LEADING_BIT - DOUBLE.fractionBits;

/** Writes √a (IEEE 754-2019, 5.4.1): parameters (hart, mode, a). */
export function writeSquareRoot(writer: FunctionWriter, format: FloatFormat, roundAndPack: number): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));

  returnIfNan(writer, format, [a]);
  // √−0 is −0 (6.3).
  writer.when(a.isZero, () => writer.return(box(format, a.bits)));
  writer.when(a.sign.isNotZero(), () => returnInvalid(writer, format));
  writer.when(a.isInfinite, () => writer.return(box(format, a.bits)));

  const { exponent, significand } = a.unpack();
  // An even power of two comes out of the root as its half: the other factor is in [1, 4), here times 2^52.
  const power = writer.let(exponent.sub(format.bias));
  const radicand = writer.let(significand.shr(EXACT_SHIFT).shl(power.and(1)));
  power.set(power.sub(power.and(1)));
  const rootExponent = new Int64((code) => {
    power.push(code);
    code.i64Const(1).op(Op.i64ShrS).i64Const(format.bias).op(Op.i64Add);
  });

  // As in division: the hardware's root is at most half a unit off, the remainder radicand × 2^52 − root² is exact modulo
  // 2^64 and gives the root that is rounded down, one more bit and the sticky bit.
  const root = writer.let(
    new Int64((code) => {
      radicand.push(code);
      code.op(Op.f64ConvertI64S).op(Op.f64Sqrt);
      code
        .f64Const(2 ** (DOUBLE.fractionBits / 2))
        .op(Op.f64Mul)
        .op(Op.i64TruncSatF64S);
    }),
  );
  const remainder = writer.let(radicand.shl(DOUBLE.fractionBits).sub(root.mul(root)));
  writer.when(remainder.ltSigned(0), () => {
    root.set(root.sub(1));
    remainder.set(remainder.add(root.shl(1)).add(1));
  });
  // (root + ½)² = root² + root + ¼ is never the radicand.
  const next = writer.let(remainder.gtSigned(root).toInt64());
  const sticky = remainder.isNotZero().toInt64();
  const result = root
    .shl(EXACT_SHIFT)
    .or(next.shl(EXACT_SHIFT - 1))
    .or(sticky);
  writer.return(writer.call(roundAndPack, mode, constant(0), rootExponent, result));
}
