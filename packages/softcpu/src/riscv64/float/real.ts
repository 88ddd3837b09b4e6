import { type CodeBuilder, F32, F64, type Local, Op, type Opcode } from '@tsvmm/wasm-emitter';
import { Condition, Int64 } from './expression.ts';
import type { FloatFormat } from './format.ts';
import type { FunctionWriter } from './function-writer.ts';
import { pushRelaxedMultiplyAdd } from './fused-support.ts';

type Suffix = FloatFormat['suffix'];

type Operation = 'add' | 'sub' | 'mul' | 'div' | 'sqrt' | 'neg' | 'abs' | 'eq' | 'lt' | 'gt';

const OPCODES: Readonly<Record<Suffix, Readonly<Record<Operation, Opcode>>>> = {
  s: {
    add: Op.f32Add,
    sub: Op.f32Sub,
    mul: Op.f32Mul,
    div: Op.f32Div,
    sqrt: Op.f32Sqrt,
    neg: Op.f32Neg,
    abs: Op.f32Abs,
    eq: Op.f32Eq,
    lt: Op.f32Lt,
    gt: Op.f32Gt,
  },
  d: {
    add: Op.f64Add,
    sub: Op.f64Sub,
    mul: Op.f64Mul,
    div: Op.f64Div,
    sqrt: Op.f64Sqrt,
    neg: Op.f64Neg,
    abs: Op.f64Abs,
    eq: Op.f64Eq,
    lt: Op.f64Lt,
    gt: Op.f64Gt,
  },
};

/** An f32 or f64 expression in the hardware's arithmetic: nearest even, no flags. */
export class Real {
  readonly suffix: Suffix;
  readonly push: (code: CodeBuilder) => void;

  constructor(suffix: Suffix, push: (code: CodeBuilder) => void) {
    this.suffix = suffix;
    this.push = push;
  }

  /** The number that register contents stand for. */
  static fromBits(suffix: Suffix, raw: Int64): Real {
    return new Real(suffix, (code) => {
      raw.push(code);
      if (suffix === 'd') {
        code.op(Op.f64ReinterpretI64);
      } else {
        code.op(Op.i32WrapI64).op(Op.f32ReinterpretI32);
      }
    });
  }

  /** The encoding. */
  toBits(): Int64 {
    return new Int64((code) => {
      this.push(code);
      if (this.suffix === 'd') {
        code.op(Op.i64ReinterpretF64);
      } else {
        code.op(Op.i32ReinterpretF32).op(Op.i64ExtendI32U);
      }
    });
  }

  add(other: Real): Real {
    return this.#combine('add', other);
  }

  sub(other: Real): Real {
    return this.#combine('sub', other);
  }

  mul(other: Real): Real {
    return this.#combine('mul', other);
  }

  div(other: Real): Real {
    return this.#combine('div', other);
  }

  sqrt(): Real {
    return this.#map(this.suffix, OPCODES[this.suffix].sqrt);
  }

  negated(): Real {
    return this.#map(this.suffix, OPCODES[this.suffix].neg);
  }

  /** this × factor + addend with one rounding: only where the hardware fuses. */
  multiplyAdd(factor: Real, addend: Real): Real {
    return new Real(this.suffix, (code) =>
      pushRelaxedMultiplyAdd(
        code,
        this.suffix,
        [this, factor, addend].map((operand) => () => operand.push(code)),
      ),
    );
  }

  /** As a double, exactly. */
  widen(): Real {
    return this.suffix === 'd' ? this : this.#map('d', Op.f64PromoteF32);
  }

  /** A double rounded to single precision. */
  narrow(): Real {
    return this.#map('s', Op.f32DemoteF64);
  }

  /** False for NaNs. */
  equals(other: Real): Condition {
    return this.#compare('eq', other);
  }

  isZero(): Condition {
    return this.equals(this.#constant(0));
  }

  /** False for NaNs. */
  isFinite(): Condition {
    return this.isBelow(Number.POSITIVE_INFINITY);
  }

  /** In magnitude; false for NaNs. */
  isBelow(magnitude: number): Condition {
    return this.#magnitude().#compare('lt', this.#constant(magnitude));
  }

  /** In magnitude; false for NaNs. */
  isAbove(magnitude: number): Condition {
    return this.#magnitude().#compare('gt', this.#constant(magnitude));
  }

  #magnitude(): Real {
    return this.#map(this.suffix, OPCODES[this.suffix].abs);
  }

  #constant(value: number): Real {
    return new Real(this.suffix, (code) => {
      if (this.suffix === 'd') {
        code.f64Const(value);
      } else {
        code.f32Const(value);
      }
    });
  }

  #map(suffix: Suffix, opcode: Opcode): Real {
    return new Real(suffix, (code) => {
      this.push(code);
      code.op(opcode);
    });
  }

  #combine(operation: Operation, other: Real): Real {
    return new Real(this.suffix, (code) => {
      this.push(code);
      other.push(code);
      code.op(OPCODES[this.suffix][operation]);
    });
  }

  #compare(operation: Operation, other: Real): Condition {
    return new Condition((code) => {
      this.push(code);
      other.push(code);
      code.op(OPCODES[this.suffix][operation]);
    });
  }
}

/** Writes a value to a new variable. */
export function letReal({ code }: FunctionWriter, value: Real): Real {
  const local: Local = code.local(value.suffix === 'd' ? F64 : F32);
  value.push(code);
  code.set(local);
  return new Real(value.suffix, (target) => {
    target.get(local);
  });
}
