import { I32, I64, Op, type Opcode } from '@tsvmm/wasm-emitter';
import type { Relation } from '../float/compare.ts';
import { BOX, DOUBLE, SINGLE } from '../float/format.ts';
import type { Operands, Semantics } from '../operands.ts';
import {
  callHelper,
  type FormatName,
  fastOrExact,
  floatScratch,
  fromRaw,
  pushFloat,
  type RegisterType,
  requireBoxes,
  type Source,
  toRegister,
} from './float-access.ts';

interface ComparisonOpcodes extends Readonly<Record<Relation, Opcode>> {
  readonly sub: Opcode;
  readonly ne: Opcode;
  readonly min: Opcode;
  readonly max: Opcode;
}

const OPCODES: Readonly<Record<FormatName, ComparisonOpcodes>> = {
  s: {
    eq: Op.f32Eq,
    lt: Op.f32Lt,
    le: Op.f32Le,
    ne: Op.f32Ne,
    sub: Op.f32Sub,
    min: Op.f32Min,
    max: Op.f32Max,
  },
  d: {
    eq: Op.f64Eq,
    lt: Op.f64Lt,
    le: Op.f64Le,
    ne: Op.f64Ne,
    sub: Op.f64Sub,
    min: Op.f64Min,
    max: Op.f64Max,
  },
};

function pushBoth(operands: Operands, format: FormatName): void {
  pushFloat(operands, format, 'frs1');
  pushFloat(operands, format, 'frs2');
}

function exactly(operands: Operands, name: Parameters<typeof callHelper>[1]): () => void {
  return () =>
    callHelper(operands, name, () => {
      operands.frs1();
      operands.frs2();
    });
}

/** Branches to `slow` when the value on the stack is a NaN, and keeps it in a local. */
function keepUnlessNan(
  operands: Operands,
  format: FormatName,
  slow: Parameters<typeof requireBoxes>[2],
): void {
  const value = floatScratch(operands, format);
  operands.code.tee(value).get(value).op(OPCODES[format].ne).brIf(slow);
}

/** FEQ, FLT, FLE. Without NaNs, which the difference shows (as well as ∞ − ∞), there is nothing to raise. */
function compare(format: FormatName, relation: Relation): Semantics {
  return (operands) =>
    fastOrExact(
      operands,
      I64,
      (slow) => {
        const { code } = operands;
        if (format === 's') {
          requireBoxes(operands, ['frs1', 'frs2'], slow);
        }
        pushBoth(operands, format);
        code.op(OPCODES[format].sub);
        keepUnlessNan(operands, format, slow);
        pushBoth(operands, format);
        code.op(OPCODES[format][relation]).op(Op.i64ExtendI32U);
      },
      exactly(operands, `f${relation}_${format}`),
    );
}

/** FMIN, FMAX. Without NaNs, which would be the result, WebAssembly's are the same: −0 is less than +0 for both. */
function minimumMaximum(format: FormatName, which: 'min' | 'max', type: RegisterType): Semantics {
  return (operands) =>
    fastOrExact(
      operands,
      type,
      (slow) => {
        const { code } = operands;
        if (format === 's') {
          requireBoxes(operands, ['frs1', 'frs2'], slow);
        }
        pushBoth(operands, format);
        code.op(OPCODES[format][which]);
        keepUnlessNan(operands, format, slow);
        code.get(floatScratch(operands, format));
        toRegister(operands, format, type);
      },
      exactly(operands, `f${which}_${format}`),
    );
}

function classify(format: FormatName): Semantics {
  return (operands) => callHelper(operands, `fclass_${format}`, () => operands.frs1());
}

/** Where the sign of FSGNJ, FSGNJN and FSGNJX comes from: the second operand, its opposite, or both operands' signs. */
type Injection = 'fsgnj' | 'fsgnjn' | 'fsgnjx';

function injectSignDouble(injection: Injection, type: RegisterType): Semantics {
  const signMask = 1n << BigInt(DOUBLE.width - 1);
  return (operands) => {
    const { code } = operands;
    operands.frs1();
    if (injection !== 'fsgnjx') {
      code.i64Const(signMask - 1n).op(Op.i64And);
    }
    operands.frs2();
    if (injection === 'fsgnjn') {
      code.i64Const(-1).op(Op.i64Xor);
    }
    code.i64Const(signMask).op(Op.i64And);
    code.op(injection === 'fsgnjx' ? Op.i64Xor : Op.i64Or);
    fromRaw(operands, type);
  };
}

/** Pushes a single-precision register's value as i32: the canonical NaN if it is not boxed. */
function pushUnboxed(operands: Operands, source: Source): void {
  const { code } = operands;
  operands[source]();
  code.op(Op.i32WrapI64).i32Const(Number(SINGLE.canonicalNan));
  operands[source]();
  code.i64Const(BOX).op(Op.i64GeU).op(Op.select);
}

function injectSignSingle(injection: Injection, type: RegisterType): Semantics {
  const signMask = 1 << (SINGLE.width - 1);
  return (operands) => {
    const { code } = operands;
    const value = operands.scratch(I32, 0);
    pushUnboxed(operands, 'frs1');
    if (injection !== 'fsgnjx') {
      code.i32Const(~signMask).op(Op.i32And);
    }
    code.set(value);
    pushUnboxed(operands, 'frs2');
    if (injection === 'fsgnjn') {
      code.i32Const(-1).op(Op.i32Xor);
    }
    code.i32Const(signMask).op(Op.i32And).get(value);
    code.op(injection === 'fsgnjx' ? Op.i32Xor : Op.i32Or);
    code.op(Op.i64ExtendI32U).i64Const(BOX).op(Op.i64Or);
    fromRaw(operands, type);
  };
}

/** Comparisons, FMIN, FMAX, FCLASS and sign injection of one format. */
export function comparisonSemantics(format: FormatName, type: RegisterType): Record<string, Semantics> {
  const injectSign = format === 's' ? injectSignSingle : injectSignDouble;
  return {
    [`feq_${format}`]: compare(format, 'eq'),
    [`flt_${format}`]: compare(format, 'lt'),
    [`fle_${format}`]: compare(format, 'le'),
    [`fmin_${format}`]: minimumMaximum(format, 'min', type),
    [`fmax_${format}`]: minimumMaximum(format, 'max', type),
    [`fclass_${format}`]: classify(format),
    [`fsgnj_${format}`]: injectSign('fsgnj', type),
    [`fsgnjn_${format}`]: injectSign('fsgnjn', type),
    [`fsgnjx_${format}`]: injectSign('fsgnjx', type),
  };
}

/** FMV between integer and floating-point registers: bits, without a look at boxes. */
export function moveSemantics(type: RegisterType): Record<string, Semantics> {
  return {
    fmv_x_w: (operands) => {
      operands.frs1();
      operands.code.op(Op.i64Extend32S);
    },
    fmv_w_x: (operands) => {
      operands.rs1();
      operands.code.i64Const(BOX).op(Op.i64Or);
      fromRaw(operands, type);
    },
    fmv_x_d: (operands) => operands.frs1(),
    fmv_d_x: (operands) => {
      operands.rs1();
      fromRaw(operands, type);
    },
  };
}
