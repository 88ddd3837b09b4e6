import { F64, I64, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../../core/layout.ts';
import { RoundingMode } from '../float/environment.ts';
import { multiplyAddIsFused } from '../float/fused-support.ts';
import type { Operands, Semantics } from '../operands.ts';
import type { RegisterType } from './float-access.ts';
import { arithmeticSemantics } from './float-arithmetic.ts';
import { comparisonSemantics, moveSemantics } from './float-compare.ts';
import { conversionSemantics } from './float-convert.ts';

/**
 * The meaning of every instruction of F and D but loads and stores, which are memory accesses (FLW boxes what it loads).
 *
 * What changes the state that `sstatus.FS` tracks is the caller's to note: see {@link floatEffects}.
 *
 * @param hardwareFuses what {@link multiplyAddIsFused} says, when the code is for this machine.
 * @param registers type of the results that go to floating-point registers; sources are raw bits in any case.
 */
export function createFloatSemantics(
  hardwareFuses: boolean,
  registers: RegisterType,
): Readonly<Record<string, Semantics>> {
  return {
    ...arithmeticSemantics('s', hardwareFuses, registers),
    ...arithmeticSemantics('d', hardwareFuses, registers),
    ...comparisonSemantics('s', registers),
    ...comparisonSemantics('d', registers),
    ...conversionSemantics(registers),
    ...moveSemantics(registers),
  };
}

/** For the machine this runs on, with results as raw bits. */
export const floatSemantics = createFloatSemantics(multiplyAddIsFused(), I64);

/**
 * For the machine this runs on, with results for floating-point registers as doubles of the same bits: for code that has
 * these registers in f64 locals. Its `frs1()` is `local.get` and `i64.reinterpret_f64`, which the engine cancels against the
 * semantics' own reinterpretation.
 */
export const floatSemanticsInDoubles = createFloatSemantics(multiplyAddIsFused(), F64);

/** What an instruction does besides computing its result. */
export interface FloatEffects {
  /** The result goes to a floating-point register: the state is dirty. Otherwise it goes to an integer register. */
  readonly writesFloat: boolean;
  /** Exceptions may be accumulated in `fflags`: the state may be dirty. */
  readonly raisesFlags: boolean;
  /** The instruction has a rounding mode, which may be reserved: see {@link reservedRoundingMode}. */
  readonly hasRoundingMode: boolean;
}

/** Effects of the operations of {@link floatSemantics}. */
export const floatEffects: Readonly<Record<string, FloatEffects>> = Object.fromEntries(
  Object.keys(floatSemantics).map((operation) => [operation, effectsOf(operation)]),
);

function effectsOf(operation: string): FloatEffects {
  const isMove = /^(fmv|fsgnj)/.test(operation);
  const isClassification = operation.startsWith('fclass');
  return {
    writesFloat: !/^(f(eq|lt|le|class)_|fmv_x_|fcvt_[wl]u?_)/.test(operation),
    raisesFlags: !isMove && !isClassification && !/^fcvt_d_wu?$/.test(operation),
    hasRoundingMode: !isMove && !isClassification && !/^f(eq|lt|le|min|max)_/.test(operation),
  };
}

/**
 * Pushes an i32 that is not zero if the instruction's rounding mode is reserved, 5 or 6, or dynamic with 5–7 in `frm`: the
 * instruction is illegal (F chapter, "Floating-Point Control and Status Register"). Semantics may only run when it is zero.
 */
export function reservedRoundingMode(operands: Operands): void {
  const { code, hart, knownRoundingMode: known } = operands;
  if (known !== undefined && known !== RoundingMode.dynamic) {
    code.i32Const(known > RoundingMode.nearestMaxMagnitude ? 1 : 0);
    return;
  }
  code.get(hart).memory(Op.i32Load, HartBlock.frm);
  if (known === undefined) {
    operands.roundingMode();
    operands.roundingMode();
    code.i32Const(RoundingMode.dynamic).op(Op.i32Eq).op(Op.select);
  }
  code.i32Const(RoundingMode.nearestMaxMagnitude).op(Op.i32GtU);
}
