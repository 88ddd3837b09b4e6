import { I64, Op, type Opcode } from '@tsvmm/wasm-emitter';
import type { Operands, Semantics } from '../operands.ts';
import { pushWords } from './integer.ts';

const LOW_HALF = 0xffff_ffff;

/** Upper 64 bits of the unsigned product, from four products of halves. */
const mulhu: Semantics = (operands) => {
  const { code } = operands;
  const low1 = operands.scratch(I64, 0);
  const high1 = operands.scratch(I64, 1);
  const low2 = operands.scratch(I64, 2);
  const high2 = operands.scratch(I64, 3);
  const middle = operands.scratch(I64, 4);
  operands.rs1();
  code.tee(high1).i64Const(LOW_HALF).op(Op.i64And).set(low1);
  code.get(high1).i64Const(32).op(Op.i64ShrU).set(high1);
  operands.rs2();
  code.tee(high2).i64Const(LOW_HALF).op(Op.i64And).set(low2);
  code.get(high2).i64Const(32).op(Op.i64ShrU).set(high2);
  // middle = high1 · low2 + (low1 · low2 >> 32): cannot overflow.
  code.get(high1).get(low2).op(Op.i64Mul);
  code.get(low1).get(low2).op(Op.i64Mul).i64Const(32).op(Op.i64ShrU);
  code.op(Op.i64Add).set(middle);
  code.get(low1).get(high2).op(Op.i64Mul);
  code.get(middle).i64Const(LOW_HALF).op(Op.i64And).op(Op.i64Add).i64Const(32).op(Op.i64ShrU);
  code.get(high1).get(high2).op(Op.i64Mul).op(Op.i64Add);
  code.get(middle).i64Const(32).op(Op.i64ShrU).op(Op.i64Add);
};

/** Subtracts `other` from the value on the stack if `signed` is negative: the correction from unsigned to signed. */
function correctSign(operands: Operands, signed: 'rs1' | 'rs2', other: 'rs1' | 'rs2'): void {
  operands[signed]();
  operands.code.i64Const(63).op(Op.i64ShrS);
  operands[other]();
  operands.code.op(Op.i64And).op(Op.i64Sub);
}

/** Chooses by whether the divisor is zero. */
function unlessDivisorIsZero(
  operands: Operands,
  word: boolean,
  zero: () => void,
  otherwise: () => void,
): void {
  const { code } = operands;
  operands.rs2();
  code.op(word ? Op.i32WrapI64 : Op.i64Eqz);
  if (word) {
    code.op(Op.i32Eqz);
  }
  code.if(I64);
  zero();
  code.else();
  otherwise();
  code.end();
}

const unsignedQuotient =
  (opcode: Opcode, word: boolean): Semantics =>
  (operands) =>
    unlessDivisorIsZero(
      operands,
      word,
      () => operands.code.i64Const(-1),
      () => apply(operands, opcode, word),
    );

const remainder =
  (opcode: Opcode, word: boolean): Semantics =>
  (operands) =>
    unlessDivisorIsZero(
      operands,
      word,
      () => {
        operands.rs1();
        if (word) {
          operands.code.op(Op.i64Extend32S);
        }
      },
      // WebAssembly's signed remainder by -1 is 0, also of the smallest value.
      () => apply(operands, opcode, word),
    );

/** Division by -1 negates, so that the quotient that overflows wraps instead of trapping. */
const signedQuotient =
  (opcode: Opcode, word: boolean): Semantics =>
  (operands) => {
    const { code } = operands;
    unlessDivisorIsZero(
      operands,
      word,
      () => code.i64Const(-1),
      () => {
        operands.rs2();
        if (word) {
          code.op(Op.i64Extend32S);
        }
        code.i64Const(-1).op(Op.i64Eq).if(I64);
        code.i64Const(0);
        operands.rs1();
        code.op(Op.i64Sub);
        if (word) {
          code.op(Op.i64Extend32S);
        }
        code.else();
        apply(operands, opcode, word);
        code.end();
      },
    );
  };

function apply(operands: Operands, opcode: Opcode, word: boolean): void {
  if (word) {
    pushWords(operands).op(opcode).op(Op.i64ExtendI32S);
  } else {
    operands.rs1();
    operands.rs2();
    operands.code.op(opcode);
  }
}

/** The M extension (unprivileged manual, chapter 12). */
export const multiplyDivideSemantics: Readonly<Record<string, Semantics>> = {
  mul: (operands) => apply(operands, Op.i64Mul, false),
  mulw: (operands) => apply(operands, Op.i32Mul, true),
  mulhu,
  mulh: (operands) => {
    mulhu(operands);
    correctSign(operands, 'rs1', 'rs2');
    correctSign(operands, 'rs2', 'rs1');
  },
  mulhsu: (operands) => {
    mulhu(operands);
    correctSign(operands, 'rs1', 'rs2');
  },
  div: signedQuotient(Op.i64DivS, false),
  divu: unsignedQuotient(Op.i64DivU, false),
  rem: remainder(Op.i64RemS, false),
  remu: remainder(Op.i64RemU, false),
  divw: signedQuotient(Op.i32DivS, true),
  divuw: unsignedQuotient(Op.i32DivU, true),
  remw: remainder(Op.i32RemS, true),
  remuw: remainder(Op.i32RemU, true),
};
