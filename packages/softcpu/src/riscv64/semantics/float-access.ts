import { F32, F64, I64, type Label, type Local, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../../core/layout.ts';
import { Flag, RoundingMode } from '../float/environment.ts';
import { BOX, DOUBLE, type FloatFormat, SINGLE } from '../float/format.ts';
import type { FloatHelper } from '../float/signatures.ts';
import type { Operands } from '../operands.ts';

/** The opcodes that differ between the two formats, and how values of a format lie in registers. */
export type FormatName = FloatFormat['suffix'];

/** A floating-point source register. */
export type Source = 'frs1' | 'frs2' | 'frs3';

/**
 * As what results for floating-point registers are left on the stack: raw bits, or a double of those bits. Between doubles
 * in locals, values stay in the machine's floating-point registers, which takes two thirds off a chain of operations.
 */
export type RegisterType = typeof I64 | typeof F64;

/**
 * Writes the result of the hardware if it is known to be right, and of the exact helper otherwise.
 *
 * @param type type of the result.
 * @param fast pushes the result, branching to `slow` with an empty stack where it does not know.
 * @param exact pushes the result of a helper, raw.
 */
export function fastOrExact(
  operands: Operands,
  type: RegisterType,
  fast: (slow: Label) => void,
  exact: () => void,
): void {
  const { code } = operands;
  const done = code.block(type);
  const slow = code.block();
  fast(slow);
  code.br(done).end();
  exact();
  fromRaw(operands, type);
  code.end();
}

/** Turns raw bits on the stack into a result. */
export function fromRaw({ code }: Operands, type: RegisterType): void {
  if (type === F64) {
    code.op(Op.f64ReinterpretI64);
  }
}

/** Pushes the result of a helper that rounds; `pushSources` pushes its i64 operands. */
export function callRounding(operands: Operands, name: FloatHelper, pushSources: () => void): void {
  operands.code.get(operands.hart);
  operands.roundingMode();
  pushSources();
  operands.callHelper(name);
}

/** Pushes the result of a helper without rounding. */
export function callHelper(operands: Operands, name: FloatHelper, pushSources: () => void): void {
  operands.code.get(operands.hart);
  pushSources();
  operands.callHelper(name);
}

/** Branches to `slow` unless inexact is already among the accumulated exceptions. */
export function requireInexact({ code, hart }: Operands, slow: Label): void {
  code.get(hart).memory(Op.i32Load, HartBlock.fflags);
  code.i32Const(Flag.inexact).op(Op.i32And).op(Op.i32Eqz).brIf(slow);
}

/**
 * Branches to `slow` unless the hardware does what the instruction wants as far as the environment goes: it rounds to
 * nearest even, and that a result is inexact is no news.
 */
export function requireHardwareRounding(operands: Operands, slow: Label): void {
  const { code, hart, knownRoundingMode: mode } = operands;
  switch (mode) {
    case RoundingMode.nearestEven:
      break;
    case RoundingMode.dynamic:
      code.get(hart).memory(Op.i32Load, HartBlock.frm).brIf(slow);
      break;
    case undefined:
      // mode × ((mode ^ 7) | frm) is zero if the mode is 0, or 7 with frm 0.
      operands.roundingMode();
      operands.roundingMode();
      code.i32Const(RoundingMode.dynamic).op(Op.i32Xor);
      code.get(hart).memory(Op.i32Load, HartBlock.frm);
      code.op(Op.i32Or).op(Op.i32Mul).brIf(slow);
      break;
    default:
      code.br(slow);
      return;
  }
  requireInexact(operands, slow);
}

/** Branches to `slow` unless single-precision operands are boxed as they should be. */
export function requireBoxes(operands: Operands, sources: readonly Source[], slow: Label): void {
  const { code } = operands;
  for (const [index, source] of sources.entries()) {
    operands[source]();
    if (index > 0) {
      code.op(Op.i64And);
    }
  }
  code.i64Const(BOX).op(Op.i64LtU).brIf(slow);
}

/** Pushes a source register as f32 or f64. Boxes are not looked at. */
export function pushFloat(operands: Operands, name: FormatName, source: Source): void {
  const { code } = operands;
  operands[source]();
  if (name === 'd') {
    code.op(Op.f64ReinterpretI64);
  } else {
    code.op(Op.i32WrapI64).op(Op.f32ReinterpretI32);
  }
}

/** A local for a value of the format. */
export function floatScratch(operands: Operands, name: FormatName, index = 0): Local {
  return operands.scratch(name === 'd' ? F64 : F32, index);
}

/** Turns the f32 or f64 on the stack into a result. */
export function toRegister(operands: Operands, name: FormatName, type: RegisterType): void {
  const { code } = operands;
  if (name === 's') {
    code.op(Op.i32ReinterpretF32).op(Op.i64ExtendI32U).i64Const(BOX).op(Op.i64Or);
    fromRaw(operands, type);
  } else if (type === I64) {
    code.op(Op.i64ReinterpretF64);
  }
}

/** Which results of the hardware count as right; see the proof in `float-arithmetic.ts`. */
export type ResultRange = 'finite' | 'normal';

/**
 * Turns the f32 or f64 on the stack into a result, or branches to `slow` when its magnitude is not below infinity or, for
 * `normal`, not above the least normal number.
 */
export function toRegisterInRange(
  operands: Operands,
  name: FormatName,
  type: RegisterType,
  range: ResultRange,
  slow: Label,
): void {
  const { code } = operands;
  const { infinity, fractionBits } = name === 'd' ? DOUBLE : SINGLE;
  const value = floatScratch(operands, name);
  // Shifting the sign out leaves twice the magnitude; one unsigned comparison then checks both limits.
  const leastAccepted = range === 'finite' ? 0n : 2n * ((1n << BigInt(fractionBits)) + 1n);
  const accepted = 2n * infinity - leastAccepted;
  code.tee(value);
  if (name === 'd') {
    code.op(Op.i64ReinterpretF64).i64Const(1).op(Op.i64Shl);
    if (range === 'normal') {
      code.i64Const(leastAccepted).op(Op.i64Sub);
    }
    code.i64Const(accepted).op(Op.i64GeU).brIf(slow);
  } else {
    code.op(Op.i32ReinterpretF32).i32Const(1).op(Op.i32Shl);
    if (range === 'normal') {
      code.i32Const(Number(leastAccepted)).op(Op.i32Sub);
    }
    code.i32Const(Number(accepted)).op(Op.i32GeU).brIf(slow);
  }
  code.get(value);
  toRegister(operands, name, type);
}
