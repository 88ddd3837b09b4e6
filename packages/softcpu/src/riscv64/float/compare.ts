import { Op, type Opcode } from '@tsvmm/wasm-emitter';
import { box, Datum } from './datum.ts';
import { Flag } from './environment.ts';
import { Condition, constant, type Int64 } from './expression.ts';
import type { FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';

export type Relation = 'eq' | 'lt' | 'le';

const OPCODES: Readonly<Record<'s' | 'd', Readonly<Record<Relation, Opcode>>>> = {
  s: { eq: Op.f32Eq, lt: Op.f32Lt, le: Op.f32Le },
  d: { eq: Op.f64Eq, lt: Op.f64Lt, le: Op.f64Le },
};

/** The hardware's comparison, which is exact and false for NaNs. */
function relation(format: FloatFormat, kind: Relation, a: Int64, b: Int64): Condition {
  return new Condition((code) => {
    for (const operand of [a, b]) {
      operand.push(code);
      if (format.width === 64) {
        code.op(Op.f64ReinterpretI64);
      } else {
        code.op(Op.i32WrapI64).op(Op.f32ReinterpretI32);
      }
    }
    code.op(OPCODES[format.suffix][kind]);
  });
}

/**
 * Writes a comparison with result 0 or 1 (IEEE 754-2019, 5.11): parameters (hart, a, b). Equality is invalid for
 * signalling NaNs, order for every NaN.
 */
export function writeCompare(writer: FunctionWriter, format: FloatFormat, kind: Relation): void {
  const a = new Datum(writer, format, writer.parameter(1));
  const b = new Datum(writer, format, writer.parameter(2));
  const invalid = kind === 'eq' ? a.isSignalingNan.or(b.isSignalingNan) : a.isNan.or(b.isNan);
  writer.when(invalid, () => writer.raise(Flag.invalid));
  writer.return(relation(format, kind, a.bits, b.bits).toInt64());
}

/**
 * Writes minimumNumber or maximumNumber (IEEE 754-2019, 9.6; F chapter, FMIN.S and FMAX.S): parameters (hart, a, b). A
 * NaN counts as missing, −0 as less than +0; a signalling NaN is invalid.
 */
export function writeMinimumMaximum(
  writer: FunctionWriter,
  format: FloatFormat,
  kind: 'minimum' | 'maximum',
): void {
  const a = new Datum(writer, format, writer.parameter(1));
  const b = new Datum(writer, format, writer.parameter(2));
  writer.when(a.isSignalingNan.or(b.isSignalingNan), () => writer.raise(Flag.invalid));
  writer.when(a.isNan, () => writer.return(box(format, b.isNan.select(format.canonicalNan, b.bits))));
  writer.when(b.isNan, () => writer.return(box(format, a.bits)));
  // Among equals only zeros differ, by their signs.
  const negativeFirst = relation(format, 'lt', a.bits, b.bits).or(
    relation(format, 'eq', a.bits, b.bits).and(a.sign.isNotZero()),
  );
  const [less, greater] = kind === 'minimum' ? [a, b] : [b, a];
  writer.return(box(format, negativeFirst.select(less.bits, greater.bits)));
}

/** Writes FCLASS: parameters (hart, a); the result has one of bits 0–9 set (F chapter, table of FCLASS). */
export function writeClassify(writer: FunctionWriter, format: FloatFormat): void {
  const a = new Datum(writer, format, writer.parameter(1));
  writer.when(a.isNan, () => writer.return(a.isSignalingNan.select(1 << 8, 1 << 9)));
  const leastNormal = 1n << BigInt(format.fractionBits);
  // Steps away from the middle, −0 | +0: zero, subnormal, normal, infinite.
  const steps = a.isZero
    .not()
    .toInt64()
    .add(a.magnitude.geUnsigned(leastNormal).toInt64())
    .add(a.isInfinite.toInt64());
  const distance = writer.let(steps);
  const positive = constant(1 << 4).shl(distance);
  const negative = constant(1 << 3).shr(distance);
  writer.return(a.sign.isZero().select(positive, negative));
}
