import { I32, I64, type ValueType } from '@tsvmm/wasm-emitter';

/** Parameters of a helper, all of which start with the hart's block (i32); the result is one i64. */
type Shape = readonly ValueType[];

/** `(hart, a, b)`: no rounding. */
const COMPARISON: Shape = [I32, I64, I64];
/** `(hart, mode, a)` */
const ROUNDED_1: Shape = [I32, I32, I64];
/** `(hart, mode, a, b)` */
const ROUNDED_2: Shape = [I32, I32, I64, I64];
/** `(hart, mode, a, b, c)` */
const ROUNDED_3: Shape = [I32, I32, I64, I64, I64];
/** `(hart, a)` */
const UNARY: Shape = [I32, I64];

/**
 * The exact operations, by name, with the types of their parameters. Each takes raw register contents (single precision
 * NaN-boxed) and gives raw contents for rd, integer results sign-extended as the instruction says; exceptions are
 * accumulated in `HartBlock.fflags`. `mode` is the instruction's field: 0–4, or 7 for the one in `HartBlock.frm`, which
 * must be legal (see `reservedRoundingMode`).
 *
 * Operations that are missing need none: subtraction has its own helper, the other fused multiply-adds are `fmadd` with
 * signs changed, conversions from 32-bit integers are those from 64-bit ones after extension, sign injection and moves
 * are never slow.
 */
export const FLOAT_HELPERS = {
  fadd_s: ROUNDED_2,
  fadd_d: ROUNDED_2,
  fsub_s: ROUNDED_2,
  fsub_d: ROUNDED_2,
  fmul_s: ROUNDED_2,
  fmul_d: ROUNDED_2,
  fdiv_s: ROUNDED_2,
  fdiv_d: ROUNDED_2,
  fsqrt_s: ROUNDED_1,
  fsqrt_d: ROUNDED_1,
  /** a × b + c */
  fmadd_s: ROUNDED_3,
  fmadd_d: ROUNDED_3,
  fcvt_s_d: ROUNDED_1,
  fcvt_d_s: UNARY,
  fcvt_s_l: ROUNDED_1,
  fcvt_s_lu: ROUNDED_1,
  fcvt_d_l: ROUNDED_1,
  fcvt_d_lu: ROUNDED_1,
  fcvt_w_s: ROUNDED_1,
  fcvt_wu_s: ROUNDED_1,
  fcvt_l_s: ROUNDED_1,
  fcvt_lu_s: ROUNDED_1,
  fcvt_w_d: ROUNDED_1,
  fcvt_wu_d: ROUNDED_1,
  fcvt_l_d: ROUNDED_1,
  fcvt_lu_d: ROUNDED_1,
  feq_s: COMPARISON,
  feq_d: COMPARISON,
  flt_s: COMPARISON,
  flt_d: COMPARISON,
  fle_s: COMPARISON,
  fle_d: COMPARISON,
  fmin_s: COMPARISON,
  fmin_d: COMPARISON,
  fmax_s: COMPARISON,
  fmax_d: COMPARISON,
  fclass_s: UNARY,
  fclass_d: UNARY,
} as const satisfies Record<string, Shape>;

export type FloatHelper = keyof typeof FLOAT_HELPERS;
