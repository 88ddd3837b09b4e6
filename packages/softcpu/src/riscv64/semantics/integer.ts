import { type CodeBuilder, Op, type Opcode } from '@tsvmm/wasm-emitter';
import type { Operands, Semantics } from '../operands.ts';

const onRegisters =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.rs2();
    operands.code.op(opcode);
  };

const onImmediate =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.immediate();
    operands.code.op(opcode);
  };

/** 32-bit arithmetic whose result is sign-extended. */
const onWords =
  (opcode: Opcode): Semantics =>
  (operands) => {
    pushWords(operands);
    operands.code.op(opcode).op(Op.i64ExtendI32S);
  };

const onWordAndImmediate =
  (opcode: Opcode): Semantics =>
  (operands) => {
    operands.rs1();
    operands.code.op(Op.i32WrapI64);
    operands.immediate32();
    operands.code.op(opcode).op(Op.i64ExtendI32S);
  };

const asNumber =
  (condition: Semantics): Semantics =>
  (operands) => {
    condition(operands);
    operands.code.op(Op.i64ExtendI32U);
  };

/** Pushes the low halves of both sources. */
export function pushWords(operands: Operands): CodeBuilder {
  operands.rs1();
  operands.code.op(Op.i32WrapI64);
  operands.rs2();
  return operands.code.op(Op.i32WrapI64);
}

/** RV64I's register operations (unprivileged manual, 2.4 and 4.2). Shifts mask their amount as WebAssembly does. */
export const integerSemantics: Readonly<Record<string, Semantics>> = {
  add: onRegisters(Op.i64Add),
  sub: onRegisters(Op.i64Sub),
  and: onRegisters(Op.i64And),
  or: onRegisters(Op.i64Or),
  xor: onRegisters(Op.i64Xor),
  sll: onRegisters(Op.i64Shl),
  srl: onRegisters(Op.i64ShrU),
  sra: onRegisters(Op.i64ShrS),
  slt: asNumber(onRegisters(Op.i64LtS)),
  sltu: asNumber(onRegisters(Op.i64LtU)),
  addw: onWords(Op.i32Add),
  subw: onWords(Op.i32Sub),
  sllw: onWords(Op.i32Shl),
  srlw: onWords(Op.i32ShrU),
  sraw: onWords(Op.i32ShrS),
  addi: onImmediate(Op.i64Add),
  andi: onImmediate(Op.i64And),
  ori: onImmediate(Op.i64Or),
  xori: onImmediate(Op.i64Xor),
  slli: onImmediate(Op.i64Shl),
  srli: onImmediate(Op.i64ShrU),
  srai: onImmediate(Op.i64ShrS),
  slti: asNumber(onImmediate(Op.i64LtS)),
  sltiu: asNumber(onImmediate(Op.i64LtU)),
  addiw: onWordAndImmediate(Op.i32Add),
  slliw: onWordAndImmediate(Op.i32Shl),
  srliw: onWordAndImmediate(Op.i32ShrU),
  sraiw: onWordAndImmediate(Op.i32ShrS),
  lui: (operands) => operands.immediate(),
  auipc: (operands) => {
    operands.pc();
    operands.immediate();
    operands.code.op(Op.i64Add);
  },
};

/** Conditions of the branches (2.5.2): an i32. */
export const branchConditions: Readonly<Record<string, Semantics>> = {
  beq: onRegisters(Op.i64Eq),
  bne: onRegisters(Op.i64Ne),
  blt: onRegisters(Op.i64LtS),
  bge: onRegisters(Op.i64GeS),
  bltu: onRegisters(Op.i64LtU),
  bgeu: onRegisters(Op.i64GeU),
};
