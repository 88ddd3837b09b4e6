import { box, Datum, LEADING_BIT, returnIfNan, returnInvalid, withSign } from './datum.ts';
import type { Variable } from './expression.ts';
import type { FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { wideProduct } from './multiply.ts';
import { shiftRightJam, signOfCancellation } from './round.ts';

/** An unsigned 128-bit integer. */
interface Wide {
  readonly high: Variable;
  readonly low: Variable;
}

/** Shifts right by any count, what falls out being jammed into the lowest bit. */
function shiftWideRightJam(writer: FunctionWriter, value: Wide, count: Variable): void {
  const { high, low } = value;
  writer.when(count.gtUnsigned(127), () => {
    low.set(high.or(low).isNotZero().toInt64());
    high.set(0);
    count.set(0);
  });
  writer.when(count.gtUnsigned(63), () => {
    low.set(high.or(low.isNotZero().toInt64()));
    high.set(0);
    count.set(count.sub(64));
  });
  writer.when(count.isNotZero(), () => {
    const fromHigh = writer.let(high.shl(count.negate()));
    low.set(fromHigh.or(shiftRightJam(writer, low, count)));
    high.set(high.shr(count));
  });
}

/** Shifts left by 0–127. */
function shiftWideLeft(writer: FunctionWriter, value: Wide, count: Variable): void {
  const { high, low } = value;
  writer.when(count.gtUnsigned(63), () => {
    high.set(low);
    low.set(0);
    count.set(count.sub(64));
  });
  writer.when(count.isNotZero(), () => {
    high.set(high.shl(count).or(low.shr(count.negate())));
    low.set(low.shl(count));
  });
}

/** Writes a × b + c with one rounding (IEEE 754-2019, 5.4.1): parameters (hart, mode, a, b, c). */
export function writeFusedMultiplyAdd(
  writer: FunctionWriter,
  format: FloatFormat,
  roundAndPack: number,
): void {
  const mode = writer.roundingMode(1);
  const a = new Datum(writer, format, writer.parameter(2));
  const b = new Datum(writer, format, writer.parameter(3));
  const c = new Datum(writer, format, writer.parameter(4));
  const productSign = writer.let(a.sign.xor(b.sign));

  writer.when(a.isFinite.and(b.isFinite).and(c.isFinite).not(), () => {
    // ∞ × 0 is invalid even when a quiet NaN is added (F chapter; 7.2 leaves the choice).
    writer.when(a.isInfinite.and(b.isZero).or(a.isZero.and(b.isInfinite)), () =>
      returnInvalid(writer, format),
    );
    returnIfNan(writer, format, [a, b, c]);
    writer.when(a.isInfinite.or(b.isInfinite), () => {
      writer.when(c.isInfinite.and(c.sign.ne(productSign)), () => returnInvalid(writer, format));
      writer.return(box(format, withSign(format, productSign, format.infinity)));
    });
    writer.return(box(format, c.bits));
  });

  writer.when(a.isZero.or(b.isZero), () => {
    writer.when(c.isZero.and(c.sign.ne(productSign)), () =>
      writer.return(box(format, withSign(format, signOfCancellation(mode), 0))),
    );
    writer.return(box(format, c.bits));
  });

  // The product, with its leading bit at 62 or 63 of the high word.
  const left = a.unpack();
  const right = b.unpack();
  left.significand.set(left.significand.shl(1));
  right.significand.set(right.significand.shl(1));
  const wide = wideProduct(writer, left.significand, right.significand);
  const product: Wide = { high: wide.high, low: writer.let(wide.low) };
  const exponent = writer.let(left.exponent.add(right.exponent).sub(format.bias));
  const sign = writer.let(productSign);

  writer.when(c.isZero.not(), () => {
    // One bit to the right, which is always zero, makes room for the sum's carry.
    product.low.set(product.low.shr(1).or(product.high.shl(63)));
    product.high.set(product.high.shr(1));
    exponent.set(exponent.add(1));
    const addend = c.unpack();
    const other: Wide = { high: addend.significand, low: writer.let(0) };

    const distance = writer.let(exponent.sub(addend.exponent));
    writer.when(
      distance.ltSigned(0),
      () => {
        exponent.set(addend.exponent);
        distance.set(distance.negate());
        shiftWideRightJam(writer, product, distance);
      },
      () => shiftWideRightJam(writer, other, distance),
    );

    writer.when(
      c.sign.eq(productSign),
      () => {
        const low = writer.let(product.low.add(other.low));
        const carry = low.ltUnsigned(other.low).toInt64();
        product.high.set(product.high.add(other.high).add(carry));
        product.low.set(low);
      },
      () => {
        const isLess = product.high
          .ltUnsigned(other.high)
          .or(product.high.eq(other.high).and(product.low.ltUnsigned(other.low)));
        writer.when(isLess, () => {
          exchange(writer, product.high, other.high);
          exchange(writer, product.low, other.low);
          sign.set(c.sign);
        });
        const borrow = product.low.ltUnsigned(other.low).toInt64();
        product.high.set(product.high.sub(other.high).sub(borrow));
        product.low.set(product.low.sub(other.low));
        writer.when(product.high.or(product.low).isZero(), () =>
          writer.return(box(format, withSign(format, signOfCancellation(mode), 0))),
        );
      },
    );
  });

  normalise(writer, product, exponent);
  const significand = product.high.or(product.low.isNotZero().toInt64());
  writer.return(writer.call(roundAndPack, mode, sign, exponent, significand));
}

function exchange(writer: FunctionWriter, a: Variable, b: Variable): void {
  const old = writer.let(a);
  a.set(b);
  b.set(old);
}

/** Moves the leading bit to {@link LEADING_BIT} of the high word. */
function normalise(writer: FunctionWriter, value: Wide, exponent: Variable): void {
  const { high, low } = value;
  writer.when(
    high.ltSigned(0),
    () => {
      low.set(low.or(high.and(1)));
      high.set(high.shr(1));
      exponent.set(exponent.add(1));
    },
    () => {
      const zeros = writer.let(high.isZero().select(low.clz().add(64), high.clz()));
      const shift = writer.let(zeros.sub(63 - LEADING_BIT));
      exponent.set(exponent.sub(shift));
      shiftWideLeft(writer, value, shift);
    },
  );
}
