import { type CodeBuilder, type Local, Op, type Opcode } from '@tsvmm/wasm-emitter';

/** Writes code that pushes one value. */
type Push = (code: CodeBuilder) => void;

/** An i64, or a constant of that type. */
export type Operand = Int64 | number | bigint;

function push(code: CodeBuilder, value: Operand): void {
  if (value instanceof Int64) {
    value.push(code);
  } else {
    code.i64Const(value);
  }
}

/**
 * An i64 expression. Exact arithmetic is easier to follow as formulas than in stack order; the code is written where the
 * expression is used, once for each use, so anything used twice belongs in a variable.
 */
export class Int64 {
  readonly push: Push;

  constructor(push: Push) {
    this.push = push;
  }

  add(other: Operand): Int64 {
    return this.#with(Op.i64Add, other);
  }

  sub(other: Operand): Int64 {
    return this.#with(Op.i64Sub, other);
  }

  mul(other: Operand): Int64 {
    return this.#with(Op.i64Mul, other);
  }

  and(other: Operand): Int64 {
    return this.#with(Op.i64And, other);
  }

  or(other: Operand): Int64 {
    return this.#with(Op.i64Or, other);
  }

  xor(other: Operand): Int64 {
    return this.#with(Op.i64Xor, other);
  }

  /** The count is taken modulo 64. */
  shl(count: Operand): Int64 {
    return this.#with(Op.i64Shl, count);
  }

  /** Logical; the count is taken modulo 64. */
  shr(count: Operand): Int64 {
    return this.#with(Op.i64ShrU, count);
  }

  /** Number of leading zeros: 64 for zero. */
  clz(): Int64 {
    return new Int64((code) => {
      this.push(code);
      code.op(Op.i64Clz);
    });
  }

  /** Sign extension of the lower half. */
  extend32(): Int64 {
    return new Int64((code) => {
      this.push(code);
      code.op(Op.i64Extend32S);
    });
  }

  negate(): Int64 {
    return new Int64((code) => {
      code.i64Const(0);
      this.push(code);
      code.op(Op.i64Sub);
    });
  }

  eq(other: Operand): Condition {
    return this.#compare(Op.i64Eq, other);
  }

  ne(other: Operand): Condition {
    return this.#compare(Op.i64Ne, other);
  }

  isZero(): Condition {
    return new Condition((code) => {
      this.push(code);
      code.op(Op.i64Eqz);
    });
  }

  isNotZero(): Condition {
    return this.ne(0);
  }

  ltUnsigned(other: Operand): Condition {
    return this.#compare(Op.i64LtU, other);
  }

  gtUnsigned(other: Operand): Condition {
    return this.#compare(Op.i64GtU, other);
  }

  geUnsigned(other: Operand): Condition {
    return this.#compare(Op.i64GeU, other);
  }

  ltSigned(other: Operand): Condition {
    return this.#compare(Op.i64LtS, other);
  }

  leSigned(other: Operand): Condition {
    return this.#compare(Op.i64LeS, other);
  }

  gtSigned(other: Operand): Condition {
    return this.#compare(Op.i64GtS, other);
  }

  geSigned(other: Operand): Condition {
    return this.#compare(Op.i64GeS, other);
  }

  #with(opcode: Opcode, other: Operand): Int64 {
    return new Int64((code) => {
      this.push(code);
      push(code, other);
      code.op(opcode);
    });
  }

  #compare(opcode: Opcode, other: Operand): Condition {
    return new Condition((code) => {
      this.push(code);
      push(code, other);
      code.op(opcode);
    });
  }
}

export function constant(value: number | bigint): Int64 {
  return new Int64((code) => {
    code.i64Const(value);
  });
}

/** An i32 expression that is 0 or 1. Both sides of `and` and `or` are evaluated. */
export class Condition {
  readonly push: Push;

  constructor(push: Push) {
    this.push = push;
  }

  and(other: Condition): Condition {
    return this.#with(Op.i32And, other);
  }

  or(other: Condition): Condition {
    return this.#with(Op.i32Or, other);
  }

  not(): Condition {
    return new Condition((code) => {
      this.push(code);
      code.op(Op.i32Eqz);
    });
  }

  /** 0 or 1. */
  toInt64(): Int64 {
    return new Int64((code) => {
      this.push(code);
      code.op(Op.i64ExtendI32U);
    });
  }

  /** One of two values, both of which are evaluated. */
  select(yes: Operand, no: Operand): Int64 {
    return new Int64((code) => {
      push(code, yes);
      push(code, no);
      this.push(code);
      code.op(Op.select);
    });
  }

  #with(opcode: Opcode, other: Condition): Condition {
    return new Condition((code) => {
      this.push(code);
      other.push(code);
      code.op(opcode);
    });
  }
}

/** A local variable of type i64. */
export class Variable extends Int64 {
  readonly #code: CodeBuilder;
  readonly #local: Local;

  constructor(code: CodeBuilder, local: Local) {
    super((target) => {
      target.get(local);
    });
    this.#code = code;
    this.#local = local;
  }

  /** Writes an assignment at the current place of the function. */
  set(value: Operand): void {
    push(this.#code, value);
    this.#code.set(this.#local);
  }
}
