import { F32, F64, I64, type Label, Op, type Opcode } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../../core/layout.ts';
import { RoundingMode } from '../float/environment.ts';
import { DOUBLE, SINGLE } from '../float/format.ts';
import type { Operands, Semantics } from '../operands.ts';
import {
  callHelper,
  callRounding,
  type FormatName,
  fastOrExact,
  pushFloat,
  type RegisterType,
  requireBoxes,
  requireHardwareRounding,
  requireInexact,
  toRegister,
  toRegisterInRange,
} from './float-access.ts';

type IntegerName = 'w' | 'wu' | 'l' | 'lu';

/** FCVT.D.W and FCVT.D.WU: exact. */
function doubleFromWord(signed: boolean, type: RegisterType): Semantics {
  return (operands) => {
    operands.rs1();
    operands.code.op(Op.i32WrapI64).op(signed ? Op.f64ConvertI32S : Op.f64ConvertI32U);
    toRegister(operands, 'd', type);
  };
}

/** Pushes rs1 as the 64-bit integer that the instruction means. */
function pushInteger(operands: Operands, integer: IntegerName): void {
  const { code } = operands;
  operands.rs1();
  if (integer === 'w') {
    code.op(Op.i64Extend32S);
  } else if (integer === 'wu') {
    code.op(Op.i32WrapI64).op(Op.i64ExtendI32U);
  }
}

/**
 * FCVT from integers that may need rounding. Magnitudes up to 2^precision are exact; others are the hardware's if it
 * rounds as wanted and inexact is accumulated: they neither overflow nor underflow.
 */
function fromInteger(format: FormatName, integer: IntegerName, type: RegisterType): Semantics {
  const limit = 2n ** BigInt((format === 's' ? SINGLE : DOUBLE).fractionBits + 1);
  const unsigned64 = integer === 'lu';
  const convert = {
    s: unsigned64 ? Op.f32ConvertI64U : Op.f32ConvertI64S,
    d: unsigned64 ? Op.f64ConvertI64U : Op.f64ConvertI64S,
  }[format];
  return (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        const { code } = operands;
        const value = operands.scratch(I64, 0);
        pushInteger(operands, integer);
        code.tee(value);
        if (!unsigned64) {
          code.i64Const(limit).op(Op.i64Add);
        }
        code.i64Const(unsigned64 ? limit : 2n * limit).op(Op.i64GtU);
        code.if();
        requireHardwareRounding(operands, slow);
        code.end();
        code.get(value).op(convert);
        toRegister(operands, format, type);
      },
      () =>
        callRounding(operands, `fcvt_${format}_${unsigned64 ? 'lu' : 'l'}`, () =>
          pushInteger(operands, integer),
        ),
    );
}

/** How the hardware rounds to an integral value in each mode; ties to maximum magnitude it does not know. */
const ROUND_TO_INTEGRAL: Readonly<Record<number, Opcode>> = {
  [RoundingMode.nearestEven]: Op.f64Nearest,
  [RoundingMode.towardsZero]: Op.f64Trunc,
  [RoundingMode.down]: Op.f64Floor,
  [RoundingMode.up]: Op.f64Ceil,
};

/** Branches to `slow` unless `roundsAs` is the instruction's rounding mode and inexact is accumulated. */
function requireRounding(operands: Operands, roundsAs: number, slow: Label): void {
  const { code, hart, knownRoundingMode: known } = operands;
  if (known === undefined || known === RoundingMode.dynamic) {
    if (known === undefined) {
      operands.roundingMode();
    } else {
      code.get(hart).memory(Op.i32Load, HartBlock.frm);
    }
    code.i32Const(roundsAs).op(Op.i32Ne).brIf(slow);
  } else if (known !== roundsAs) {
    code.br(slow);
    return;
  }
  requireInexact(operands, slow);
}

/** The rounding that code is written for: the known mode, or the likeliest. C programs convert towards zero. */
function likelyRounding(known: number | undefined): number {
  switch (known) {
    case undefined:
    case RoundingMode.nearestMaxMagnitude:
      return RoundingMode.towardsZero;
    case RoundingMode.dynamic:
      return RoundingMode.nearestEven;
    default:
      return known;
  }
}

/**
 * FCVT to integers. An integral value in range is converted exactly in every mode; another one is rounded by the hardware
 * if inexact is accumulated and the mode is the one that code was written for.
 */
function toInteger(format: FormatName, integer: IntegerName): Semantics {
  return (operands) =>
    fastOrExact(
      operands,
      I64,
      (slow) => {
        const { code } = operands;
        if (format === 's') {
          requireBoxes(operands, ['frs1'], slow);
        }
        const value = operands.scratch(F64, 0);
        const integral = operands.scratch(F64, 1);
        const result = operands.scratch(I64, 0);
        const roundsAs = likelyRounding(operands.knownRoundingMode);

        pushFloat(operands, format, 'frs1');
        if (format === 's') {
          code.op(Op.f64PromoteF32);
        }
        code
          .tee(value)
          .op(ROUND_TO_INTEGRAL[roundsAs] ?? Op.f64Trunc)
          .tee(integral);
        code.get(value).op(Op.f64Ne);
        code.if();
        requireRounding(operands, roundsAs, slow);
        // NaNs come here too.
        code.get(value).get(value).op(Op.f64Ne).brIf(slow);
        code.end();

        if (integer === 'lu') {
          code.get(integral).f64Const(0).op(Op.f64Lt).brIf(slow);
        }
        if (integer === 'l' || integer === 'lu') {
          code
            .get(integral)
            .op(Op.f64Abs)
            .f64Const(2 ** 63)
            .op(Op.f64Ge)
            .brIf(slow);
        }
        code.get(integral).op(Op.i64TruncSatF64S).set(result);
        if (integer === 'w') {
          code.get(result).op(Op.i64Extend32S).get(result).op(Op.i64Ne).brIf(slow);
        } else if (integer === 'wu') {
          code.get(result).i64Const(0xffff_ffff).op(Op.i64GtU).brIf(slow);
        }
        code.get(result);
        if (integer === 'wu') {
          code.op(Op.i64Extend32S);
        }
      },
      () => callRounding(operands, `fcvt_${integer}_${format}`, () => operands.frs1()),
    );
}

/**
 * FCVT.S.D. What comes back unchanged was exact, infinities and subnormals included (an exact result never underflows);
 * the rest is as for arithmetic.
 */
const singleFromDouble =
  (type: RegisterType): Semantics =>
  (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        const { code } = operands;
        const value = operands.scratch(F32, 0);
        pushFloat(operands, 'd', 'frs1');
        code.op(Op.f32DemoteF64).tee(value).op(Op.f64PromoteF32);
        pushFloat(operands, 'd', 'frs1');
        code.op(Op.f64Eq).if(type);
        code.get(value);
        toRegister(operands, 's', type);
        code.else();
        requireHardwareRounding(operands, slow);
        code.get(value);
        toRegisterInRange(operands, 's', type, 'normal', slow);
        code.end();
      },
      () => callRounding(operands, 'fcvt_s_d', () => operands.frs1()),
    );

/** FCVT.D.S: exact but for NaNs. */
const doubleFromSingle =
  (type: RegisterType): Semantics =>
  (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        const { code } = operands;
        const value = operands.scratch(F32, 0);
        requireBoxes(operands, ['frs1'], slow);
        pushFloat(operands, 's', 'frs1');
        code.tee(value).get(value).op(Op.f32Ne).brIf(slow);
        code.get(value).op(Op.f64PromoteF32);
        toRegister(operands, 'd', type);
      },
      () => callHelper(operands, 'fcvt_d_s', () => operands.frs1()),
    );

/** Every FCVT. */
export function conversionSemantics(type: RegisterType): Record<string, Semantics> {
  const semantics: Record<string, Semantics> = {
    fcvt_s_d: singleFromDouble(type),
    fcvt_d_s: doubleFromSingle(type),
  };
  for (const integer of ['w', 'wu', 'l', 'lu'] as const) {
    for (const format of ['s', 'd'] as const) {
      semantics[`fcvt_${format}_${integer}`] = fromInteger(format, integer, type);
      semantics[`fcvt_${integer}_${format}`] = toInteger(format, integer);
    }
  }
  semantics.fcvt_d_w = doubleFromWord(true, type);
  semantics.fcvt_d_wu = doubleFromWord(false, type);
  return semantics;
}
