import { type CodeBuilder, I32, I64, type Local, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { emitDataTlbLookup, emitHostAddress } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { type DataAccessFunctions, Place } from './data-access.ts';
import { pushRegisterB, pushRegisterFromImmediate, storeRegisterA, writeCases } from './entry-code.ts';
import { firstOfGroup, rareGroups } from './entry-operations.ts';
import {
  defineFunction,
  HART,
  Outcome,
  pushField32,
  pushField64,
  setField32,
  setField64,
} from './machine-code.ts';
import { Access, type WalkFunctions } from './page-walk.ts';
import { Cause } from './registers.ts';
import { atomics, emitAtomic } from './semantics/atomic.ts';

const IP = 1;
const OPERATION = 2;

interface AtomicLocals {
  readonly address: Local;
  readonly entry: Local;
  readonly tlb: Local;
  readonly host: Local;
  readonly operand: Local;
  readonly old: Local;
  readonly seen: Local;
}

/**
 * `(hart, ip, operation) → Outcome`: the A extension, on RAM only. LR remembers address and value, SC is a compare-exchange with
 * that value: no store of another hart is lost, and one that restores the value is not noticed.
 */
export function defineAtomicAccess(
  module: ModuleBuilder,
  access: DataAccessFunctions,
  walk: WalkFunctions,
): number {
  return defineFunction(module, [I32, I32], [I32], (code) => {
    const locals: AtomicLocals = {
      address: code.local(I64),
      entry: code.local(I32),
      tlb: code.local(I32),
      host: code.local(I32),
      operand: code.local(I64),
      old: code.local(I64),
      seen: code.local(I64),
    };
    pushRegisterB(code, IP);
    code.set(locals.address);
    pushRegisterFromImmediate(code, IP);
    code.set(locals.operand);
    const locate = (width: 4 | 8, kind: 'read' | 'write'): void => {
      writeLocateAligned(code, locals, { width, kind, access, walk });
    };
    writeCases(code, OPERATION, firstOfGroup('atomic'), rareGroups.atomic, (operation) => {
      const atomic = atomics[operation];
      const width = operation.endsWith('_d') ? 8 : 4;
      if (atomic !== undefined) {
        locate(atomic.width, 'write');
        emitAtomic(code, atomic, { ...locals, address: locals.host });
        code.set(locals.old);
      } else if (operation.startsWith('lr_')) {
        locate(width, 'read');
        writeLoadReserved(code, locals, width);
      } else {
        writeStoreConditional(code, locals, width, () => locate(width, 'write'));
      }
      storeRegisterA(code, IP, () => code.get(locals.old));
      code.i32Const(Outcome.next).op(Op.return);
    });
  });
}

/** Sets `host` to where the datum is, or returns with the fault. */
function writeLocateAligned(
  code: CodeBuilder,
  locals: AtomicLocals,
  how: {
    readonly width: 4 | 8;
    readonly kind: 'read' | 'write';
    readonly access: DataAccessFunctions;
    readonly walk: WalkFunctions;
  },
): void {
  const { address, entry, tlb, host } = locals;
  const direction = how.kind === 'read' ? Access.read : Access.write;
  const misaligned = how.kind === 'read' ? Cause.loadAddressMisaligned : Cause.storeAddressMisaligned;
  pushField32(code, HartBlock.dataTlb).set(tlb);
  emitDataTlbLookup(code, { address, entry, tlb }, how.width, how.kind);
  code.if(I32);
  emitHostAddress(code, { address, entry, tlb });
  code.else();
  code
    .get(address)
    .i64Const(how.width - 1)
    .op(Op.i64And)
    .op(Op.i64Eqz)
    .op(Op.i32Eqz)
    .if();
  setField32(code, RiscvBlock.trapCause, () => code.i32Const(misaligned));
  setField64(code, RiscvBlock.trapValue, () => code.get(address));
  code.i32Const(Outcome.fault).op(Op.return).end();
  code.get(HART).get(address).i32Const(direction).call(how.access.locate).tee(host);
  code.i32Const(Place.memory).op(Op.i32Ne).if();
  code.get(host).if();
  code.get(HART).get(address).i32Const(direction).call(how.walk.accessFault).end();
  code.i32Const(Outcome.fault).op(Op.return).end();
  pushField32(code, RiscvBlock.hostAddress);
  code.end();
  code.set(host);
}

/** The reservation is the address with bit 0 for the width, which a store-conditional must match. */
function pushReservation(code: CodeBuilder, address: Local, width: 4 | 8): void {
  code
    .get(address)
    .i64Const(width === 8 ? 1 : 0)
    .op(Op.i64Or);
}

function writeLoadReserved(code: CodeBuilder, { address, host, old }: AtomicLocals, width: 4 | 8): void {
  code
    .get(host)
    .memory(width === 8 ? Op.i64AtomicLoad : Op.i64AtomicLoad32U)
    .set(old);
  setField64(code, HartBlock.reservationValue, () => code.get(old));
  setField64(code, HartBlock.reservationAddress, () => pushReservation(code, address, width));
  if (width === 4) {
    code.get(old).op(Op.i64Extend32S).set(old);
  }
}

function writeStoreConditional(
  code: CodeBuilder,
  { address, host, operand, old }: AtomicLocals,
  width: 4 | 8,
  locate: () => void,
): void {
  code.i64Const(1).set(old);
  code
    .get(address)
    .i64Const(width - 1)
    .op(Op.i64And)
    .op(Op.i64Eqz);
  pushReservation(code, address, width);
  pushField64(code, HartBlock.reservationAddress).op(Op.i64Ne).op(Op.i32And).if();
  code.else();
  locate();
  code.get(host);
  pushField64(code, HartBlock.reservationValue).get(operand);
  code.memory(width === 8 ? Op.i64AtomicRmwCmpxchg : Op.i64AtomicRmw32CmpxchgU);
  pushField64(code, HartBlock.reservationValue).op(Op.i64Ne).op(Op.i64ExtendI32U).set(old);
  code.end();
  setField64(code, HartBlock.reservationAddress, () => code.i64Const(-1));
}
