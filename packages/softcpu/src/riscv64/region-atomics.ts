import { I32, I64, type Local, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import type { RegionEmitter } from '../core/region/region-emitter.ts';
import type { Instruction } from './instruction.ts';
import type { RegionOperands } from './region-operands.ts';
import { atomics, emitAtomic } from './semantics/atomic.ts';

/** Whether an operation is of the A extension. */
export function isAtomic(operation: string): boolean {
  return operation in atomics || /^(?:lr|sc)_[wd]$/.test(operation);
}

interface AtomicLocals {
  readonly address: Local;
  readonly host: Local;
  readonly operand: Local;
  readonly old: Local;
  readonly seen: Local;
}

/** Writes an instruction of the A extension on RAM that the TLB has, as the interpreter does them; pushes rd (i64). */
export function writeAtomic(
  emitter: RegionEmitter,
  operands: RegionOperands,
  { operation }: Instruction,
  offset: number,
): void {
  const { code } = emitter;
  const locals: AtomicLocals = {
    host: emitter.scratch(I32, 0),
    operand: emitter.scratch(I64, 0),
    old: emitter.scratch(I64, 1),
    seen: emitter.scratch(I64, 2),
    address: emitter.scratch(I64, 3),
  };
  const width = operation.endsWith('_d') ? 8 : 4;
  operands.rs1();
  code.set(locals.address);
  const locate = (access: 'read' | 'write'): void => {
    emitter.translate(offset, access, width, () => code.get(locals.address));
    code.set(locals.host);
  };
  const atomic = atomics[operation];
  if (atomic !== undefined) {
    locate('write');
    operands.rs2();
    code.set(locals.operand);
    emitAtomic(code, atomic, { ...locals, address: locals.host });
  } else if (operation.startsWith('lr_')) {
    locate('read');
    writeLoadReserved(emitter, locals, width);
  } else {
    operands.rs2();
    code.set(locals.operand);
    writeStoreConditional(emitter, locals, width, () => locate('write'));
  }
}

/** The reservation is the address, with bit 0 for the width. */
function pushReservation({ code }: RegionEmitter, { address }: AtomicLocals, width: 4 | 8): void {
  code
    .get(address)
    .i64Const(width === 8 ? 1 : 0)
    .op(Op.i64Or);
}

function writeLoadReserved(emitter: RegionEmitter, locals: AtomicLocals, width: 4 | 8): void {
  const { code, hart } = emitter;
  const { host, old } = locals;
  code
    .get(host)
    .memory(width === 8 ? Op.i64AtomicLoad : Op.i64AtomicLoad32U)
    .set(old);
  code.get(hart).get(old).memory(Op.i64Store, HartBlock.reservationValue, 0);
  code.get(hart);
  pushReservation(emitter, locals, width);
  code.memory(Op.i64Store, HartBlock.reservationAddress, 0);
  code.get(old);
  if (width === 4) {
    code.op(Op.i64Extend32S);
  }
}

function writeStoreConditional(
  emitter: RegionEmitter,
  locals: AtomicLocals,
  width: 4 | 8,
  locate: () => void,
): void {
  const { code, hart } = emitter;
  const { host, operand, old } = locals;
  const pushValue = (): void => {
    code.get(hart).memory(Op.i64Load, HartBlock.reservationValue, 0);
  };
  code.i64Const(1).set(old);
  pushReservation(emitter, locals, width);
  code.get(hart).memory(Op.i64Load, HartBlock.reservationAddress, 0).op(Op.i64Eq).if();
  locate();
  code.get(host);
  pushValue();
  code.get(operand).memory(width === 8 ? Op.i64AtomicRmwCmpxchg : Op.i64AtomicRmw32CmpxchgU);
  pushValue();
  code.op(Op.i64Ne).op(Op.i64ExtendI32U).set(old);
  code.end();
  code.get(hart).i64Const(-1).memory(Op.i64Store, HartBlock.reservationAddress, 0);
  code.get(old);
}
