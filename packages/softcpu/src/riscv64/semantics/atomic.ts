import { type CodeBuilder, type Local, Op, type Opcode } from '@tsvmm/wasm-emitter';

/** A read-modify-write of the A extension: the address is rs1, the operand rs2, the old value goes to rd. */
export interface AtomicAccess {
  /** Bytes; the address must be a multiple of it. */
  readonly width: 4 | 8;
  /** The WebAssembly instruction that does it in one, if there is one. */
  readonly opcode: Opcode | undefined;
  /** Otherwise: the comparison with which the old value stays. */
  readonly keepsOld: Opcode | undefined;
  /** Whether that comparison is signed. */
  readonly signed: boolean;
}

function both(
  name: string,
  word: Opcode | undefined,
  double: Opcode | undefined,
  keepsOld?: Opcode,
  signed = true,
): [string, AtomicAccess][] {
  return [
    [`${name}_w`, { width: 4, opcode: word, keepsOld, signed }],
    [`${name}_d`, { width: 8, opcode: double, keepsOld, signed }],
  ];
}

/** The AMOs (unprivileged manual, 14.4); `lr` and `sc` are the hart's business. */
export const atomics: Readonly<Record<string, AtomicAccess>> = Object.fromEntries([
  ...both('amoswap', Op.i64AtomicRmw32XchgU, Op.i64AtomicRmwXchg),
  ...both('amoadd', Op.i64AtomicRmw32AddU, Op.i64AtomicRmwAdd),
  ...both('amoxor', Op.i64AtomicRmw32XorU, Op.i64AtomicRmwXor),
  ...both('amoand', Op.i64AtomicRmw32AndU, Op.i64AtomicRmwAnd),
  ...both('amoor', Op.i64AtomicRmw32OrU, Op.i64AtomicRmwOr),
  ...both('amomin', undefined, undefined, Op.i64LtS),
  ...both('amomax', undefined, undefined, Op.i64GtS),
  ...both('amominu', undefined, undefined, Op.i64LtU, false),
  ...both('amomaxu', undefined, undefined, Op.i64GtU, false),
]);

/** Locals that {@link emitAtomic} uses: the first two are read, the others are scratch. */
export interface AtomicLocals {
  /** Offset of the datum in the WebAssembly memory, a multiple of the width (i32). */
  readonly address: Local;
  /** rs2 (i64). */
  readonly operand: Local;
  readonly old: Local;
  readonly seen: Local;
}

/** Writes one AMO, sequentially consistent whatever `aq` and `rl` say, and leaves rd's new value (i64). */
export function emitAtomic(code: CodeBuilder, access: AtomicAccess, locals: AtomicLocals): void {
  if (access.opcode !== undefined) {
    code.get(locals.address).get(locals.operand).memory(access.opcode);
  } else {
    emitMinimumMaximum(code, access, locals);
  }
  if (access.width === 4) {
    code.op(Op.i64Extend32S);
  }
}

/** Compare-exchange until nobody interferes; comparing happens on values extended as the comparison wants them. */
function emitMinimumMaximum(
  code: CodeBuilder,
  { width, keepsOld, signed }: AtomicAccess,
  { address, operand, old, seen }: AtomicLocals,
): void {
  const [load, exchange] =
    width === 4
      ? ([Op.i64AtomicLoad32U, Op.i64AtomicRmw32CmpxchgU] as const)
      : ([Op.i64AtomicLoad, Op.i64AtomicRmwCmpxchg] as const);
  const extend = (): void => {
    if (width === 4) {
      code.op(signed ? Op.i64Extend32S : Op.i32WrapI64);
      if (!signed) {
        code.op(Op.i64ExtendI32U);
      }
    }
  };
  code.get(address).memory(load).set(seen);
  const again = code.loop();
  code.get(address);
  code.get(seen).tee(old);
  // The value to store: old or operand; cmpxchg wraps it to the width.
  code.get(old).get(operand);
  code.get(old);
  extend();
  code.get(operand);
  extend();
  code.op(keepsOld ?? Op.i64LtS).op(Op.select);
  code.memory(exchange).tee(seen);
  code.get(old).op(Op.i64Ne).brIf(again);
  code.end();
  code.get(old);
}
