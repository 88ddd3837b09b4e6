import { Op, type Opcode } from '@tsvmm/wasm-emitter';
import { DOUBLE, SINGLE } from '../float/format.ts';
import { pushRelaxedMultiplyAdd } from '../float/fused-support.ts';
import type { Operands, Semantics } from '../operands.ts';
import {
  callRounding,
  type FormatName,
  fastOrExact,
  fromRaw,
  pushFloat,
  type RegisterType,
  type ResultRange,
  requireBoxes,
  requireHardwareRounding,
  toRegisterInRange,
} from './float-access.ts';

/*
 * When the hardware's result is the exact helper's
 *
 * WebAssembly's arithmetic is IEEE 754's in round to nearest, ties to even; it hides the exceptions, and which NaN it
 * makes is open. Take an operation in that rounding mode with inexact already accumulated, and let r be its result.
 *
 * - Invalid operations give a NaN; so do NaN operands. Division by zero and overflow give an infinity (in this rounding
 *   mode), and so do infinite operands except as divisor. So if r is finite, no operand was a NaN, the value is right to
 *   the last bit, and the only exceptions that can have been raised are underflow and inexact.
 * - Inexact is accumulated already. Underflow needs a tiny result: below the least normal number after rounding to the
 *   format's precision with unbounded exponent. Rounding is monotonic, so |r| greater than the least normal number implies
 *   that the result was not tiny. (|r| equal to it may have come from below.) Zero may be an underflow as well.
 * - Sums and differences cannot underflow: both operands are multiples of the least subnormal number, so is the sum, and
 *   where it is tiny it is representable. Zero results are exact, and their sign is the standard's for this mode.
 * - Square roots cannot underflow: the root of the least subnormal number is normal. √±0 is ±0.
 *
 * Hence: finite r is right for sums, differences and roots; finite r above the least normal number in magnitude is right for
 * products, quotients and fused multiply-adds. No operand needs a look, but for the boxes of single precision.
 */

interface BinaryOperation {
  readonly opcode: Opcode;
  readonly range: ResultRange;
}

const BINARY: Readonly<Record<FormatName, Readonly<Record<'add' | 'sub' | 'mul' | 'div', BinaryOperation>>>> =
  {
    s: {
      add: { opcode: Op.f32Add, range: 'finite' },
      sub: { opcode: Op.f32Sub, range: 'finite' },
      mul: { opcode: Op.f32Mul, range: 'normal' },
      div: { opcode: Op.f32Div, range: 'normal' },
    },
    d: {
      add: { opcode: Op.f64Add, range: 'finite' },
      sub: { opcode: Op.f64Sub, range: 'finite' },
      mul: { opcode: Op.f64Mul, range: 'normal' },
      div: { opcode: Op.f64Div, range: 'normal' },
    },
  };

function binary(format: FormatName, name: 'add' | 'sub' | 'mul' | 'div', type: RegisterType): Semantics {
  const { opcode, range } = BINARY[format][name];
  return (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        requireHardwareRounding(operands, slow);
        if (format === 's') {
          requireBoxes(operands, ['frs1', 'frs2'], slow);
        }
        pushFloat(operands, format, 'frs1');
        pushFloat(operands, format, 'frs2');
        operands.code.op(opcode);
        toRegisterInRange(operands, format, type, range, slow);
      },
      () =>
        callRounding(operands, `f${name}_${format}`, () => {
          operands.frs1();
          operands.frs2();
        }),
    );
}

function squareRoot(format: FormatName, type: RegisterType): Semantics {
  return (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        requireHardwareRounding(operands, slow);
        if (format === 's') {
          requireBoxes(operands, ['frs1'], slow);
        }
        pushFloat(operands, format, 'frs1');
        operands.code.op(format === 's' ? Op.f32Sqrt : Op.f64Sqrt);
        toRegisterInRange(operands, format, type, 'finite', slow);
      },
      () => callRounding(operands, `fsqrt_${format}`, () => operands.frs1()),
    );
}

/** Signs of the fused multiply-adds: ±(a × b) ± c. */
interface Signs {
  readonly negateProduct: boolean;
  readonly negateAddend: boolean;
}

/** Changes the sign of the register contents on the stack; a box, or the lack of one, stays. */
function negateRaw({ code }: Operands, format: FormatName): void {
  const { width } = format === 's' ? SINGLE : DOUBLE;
  code.i64Const(1n << BigInt(width - 1)).op(Op.i64Xor);
}

function multiplyAdd(
  format: FormatName,
  signs: Signs,
  hardwareFuses: boolean,
  type: RegisterType,
): Semantics {
  const exact = (operands: Operands): void =>
    callRounding(operands, `fmadd_${format}`, () => {
      operands.frs1();
      if (signs.negateProduct) {
        negateRaw(operands, format);
      }
      operands.frs2();
      operands.frs3();
      if (signs.negateAddend) {
        negateRaw(operands, format);
      }
    });
  if (!hardwareFuses) {
    return (operands) => {
      exact(operands);
      fromRaw(operands, type);
    };
  }
  const negate = format === 's' ? Op.f32Neg : Op.f64Neg;
  return (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        const { code } = operands;
        requireHardwareRounding(operands, slow);
        if (format === 's') {
          requireBoxes(operands, ['frs1', 'frs2', 'frs3'], slow);
        }
        const source = (name: 'frs1' | 'frs2' | 'frs3', negated: boolean) => () => {
          pushFloat(operands, format, name);
          if (negated) {
            code.op(negate);
          }
        };
        pushRelaxedMultiplyAdd(code, format, [
          source('frs1', signs.negateProduct),
          source('frs2', false),
          source('frs3', signs.negateAddend),
        ]);
        toRegisterInRange(operands, format, type, 'normal', slow);
      },
      () => exact(operands),
    );
}

/** FADD, FSUB, FMUL, FDIV, FSQRT and the four fused multiply-adds of one format. */
export function arithmeticSemantics(
  format: FormatName,
  hardwareFuses: boolean,
  type: RegisterType,
): Record<string, Semantics> {
  const fused = (negateProduct: boolean, negateAddend: boolean): Semantics =>
    multiplyAdd(format, { negateProduct, negateAddend }, hardwareFuses, type);
  return {
    [`fadd_${format}`]: binary(format, 'add', type),
    [`fsub_${format}`]: binary(format, 'sub', type),
    [`fmul_${format}`]: binary(format, 'mul', type),
    [`fdiv_${format}`]: binary(format, 'div', type),
    [`fsqrt_${format}`]: squareRoot(format, type),
    [`fmadd_${format}`]: fused(false, false),
    [`fmsub_${format}`]: fused(false, true),
    [`fnmsub_${format}`]: fused(true, false),
    [`fnmadd_${format}`]: fused(true, true),
  };
}
