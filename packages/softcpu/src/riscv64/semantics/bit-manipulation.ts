import { I64, Op, type Opcode } from '@tsvmm/wasm-emitter';
import type { Operands, Semantics } from '../operands.ts';
import { pushWords } from './integer.ts';

const unary =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.code.op(opcode);
  };

const unaryWord =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.code.op(Op.i32WrapI64).op(opcode).op(Op.i64ExtendI32U);
  };

const binary =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.rs2();
    operands.code.op(opcode);
  };

const rotateWords =
  (opcode: Opcode): Semantics =>
  (operands) => {
    pushWords(operands).op(opcode).op(Op.i64ExtendI32S);
  };

const onInverted =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.rs2();
    operands.code.i64Const(-1).op(Op.i64Xor).op(opcode);
  };

/** rs1 if the comparison of rs1 with rs2 holds, else rs2. */
const choose =
  (comparison: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.rs2();
    operands.rs1();
    operands.rs2();
    operands.code.op(comparison).op(Op.select);
  };

/** (rs1 << amount) + rs2, with rs1's low word only in the `uw` forms. */
const shiftAndAdd =
  (amount: number, word: boolean): Semantics =>
  (operands) => {
    const { code } = operands;
    operands.rs1();
    if (word) {
      code.op(Op.i32WrapI64).op(Op.i64ExtendI32U);
    }
    if (amount > 0) {
      code.i64Const(amount).op(Op.i64Shl);
    }
    operands.rs2();
    code.op(Op.i64Add);
  };

type Amount = (operands: Operands) => void;
const byRegister: Amount = (operands) => operands.rs2();
const byImmediate: Amount = (operands) => operands.immediate();

function pushBit(operands: Operands, amount: Amount): void {
  operands.code.i64Const(1);
  amount(operands);
  operands.code.op(Op.i64Shl);
}

const clearBit =
  (amount: Amount): Semantics =>
  (operands) => {
    operands.rs1();
    pushBit(operands, amount);
    operands.code.i64Const(-1).op(Op.i64Xor).op(Op.i64And);
  };

const combineBit =
  (opcode: Opcode, amount: Amount): Semantics =>
  (operands) => {
    operands.rs1();
    pushBit(operands, amount);
    operands.code.op(opcode);
  };

const extractBit =
  (amount: Amount): Semantics =>
  (operands) => {
    operands.rs1();
    amount(operands);
    operands.code.op(Op.i64ShrU).i64Const(1).op(Op.i64And);
  };

const LOW_7_OF_BYTES = 0x7f7f_7f7f_7f7f_7f7fn;
const LOW_BIT_OF_BYTES = 0x0101_0101_0101_0101n;
const EVEN_BYTES = 0x00ff_00ff_00ff_00ffn;
const EVEN_HALVES = 0x0000_ffff_0000_ffffn;

/** Each byte becomes 0xff unless it is 0: a carry out of the low seven bits, or the top bit, tells. */
const orcB: Semantics = (operands) => {
  const { code } = operands;
  operands.rs1();
  code.i64Const(LOW_7_OF_BYTES).op(Op.i64And).i64Const(LOW_7_OF_BYTES).op(Op.i64Add);
  operands.rs1();
  code.op(Op.i64Or).i64Const(7).op(Op.i64ShrU).i64Const(LOW_BIT_OF_BYTES).op(Op.i64And);
  code.i64Const(0xff).op(Op.i64Mul);
};

/** Byte reversal: neighbours change places in bytes, then in halves, then in words. */
const rev8: Semantics = (operands) => {
  const { code } = operands;
  const value = operands.scratch(I64, 0);
  operands.rs1();
  for (const [mask, amount] of [
    [EVEN_BYTES, 8],
    [EVEN_HALVES, 16],
  ] as const) {
    code.tee(value).i64Const(mask).op(Op.i64And).i64Const(amount).op(Op.i64Shl);
    code.get(value).i64Const(amount).op(Op.i64ShrU).i64Const(mask).op(Op.i64And).op(Op.i64Or);
  }
  code.i64Const(32).op(Op.i64Rotl);
};

/** Zba, Zbb and Zbs (unprivileged manual, chapter 29). */
export const bitManipulationSemantics: Readonly<Record<string, Semantics>> = {
  add_uw: shiftAndAdd(0, true),
  sh1add: shiftAndAdd(1, false),
  sh2add: shiftAndAdd(2, false),
  sh3add: shiftAndAdd(3, false),
  sh1add_uw: shiftAndAdd(1, true),
  sh2add_uw: shiftAndAdd(2, true),
  sh3add_uw: shiftAndAdd(3, true),
  slli_uw: (operands) => {
    operands.rs1();
    operands.code.op(Op.i32WrapI64).op(Op.i64ExtendI32U);
    operands.immediate();
    operands.code.op(Op.i64Shl);
  },
  andn: onInverted(Op.i64And),
  orn: onInverted(Op.i64Or),
  xnor: onInverted(Op.i64Xor),
  clz: unary(Op.i64Clz),
  ctz: unary(Op.i64Ctz),
  cpop: unary(Op.i64Popcnt),
  clzw: unaryWord(Op.i32Clz),
  ctzw: unaryWord(Op.i32Ctz),
  cpopw: unaryWord(Op.i32Popcnt),
  sext_b: unary(Op.i64Extend8S),
  sext_h: unary(Op.i64Extend16S),
  zext_h: (operands) => {
    operands.rs1();
    operands.code.i64Const(0xffff).op(Op.i64And);
  },
  min: choose(Op.i64LtS),
  minu: choose(Op.i64LtU),
  max: choose(Op.i64GtS),
  maxu: choose(Op.i64GtU),
  rol: binary(Op.i64Rotl),
  ror: binary(Op.i64Rotr),
  rori: (operands) => {
    operands.rs1();
    operands.immediate();
    operands.code.op(Op.i64Rotr);
  },
  rolw: rotateWords(Op.i32Rotl),
  rorw: rotateWords(Op.i32Rotr),
  roriw: (operands) => {
    operands.rs1();
    operands.code.op(Op.i32WrapI64);
    operands.immediate32();
    operands.code.op(Op.i32Rotr).op(Op.i64ExtendI32S);
  },
  orc_b: orcB,
  rev8,
  bclr: clearBit(byRegister),
  bclri: clearBit(byImmediate),
  bset: combineBit(Op.i64Or, byRegister),
  bseti: combineBit(Op.i64Or, byImmediate),
  binv: combineBit(Op.i64Xor, byRegister),
  binvi: combineBit(Op.i64Xor, byImmediate),
  bext: extractBit(byRegister),
  bexti: extractBit(byImmediate),
};
