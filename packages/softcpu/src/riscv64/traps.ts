import { type CodeBuilder, I32, I64, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { HartBlock, Request } from '../core/layout.ts';
import { CODE_TLB_SIZE, DATA_TLB_SIZE } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import {
  defineFunction,
  HART,
  Outcome,
  pushField32,
  pushField64,
  setField32,
  setField64,
} from './machine-code.ts';
import { STATUS_WRITABLE, Status } from './registers.ts';
import type { TlbFlushes } from './tlb-flush.ts';

/** Set in `RiscvBlock.trapCause` for interrupts. */
export const TRAP_IS_INTERRUPT = 0x8000_0000;

export interface TrapFunctions {
  /** `(hart)`: makes TLB pointers and mapping key agree with privilege and sstatus.SUM. */
  readonly updateMode: number;
  /** `(hart)`: asks for the interrupt request to be looked at if an interrupt is pending, enabled and not masked. */
  readonly checkInterrupts: number;
  /** `(hart, pc: i64)`: enters the trap handler for the trap in the block. */
  readonly raise: number;
  /** `(hart)`: SRET. */
  readonly returnFromSupervisor: number;
  /** `(hart, value: i64) → Outcome`: writes sstatus. */
  readonly writeStatus: number;
}

const SUM_BIT = Math.log2(Status.sum);
const SPP_BIT = Math.log2(Status.spp);
/** From SIE to SPIE. */
const SPIE_SHIFT = 4;

/** Privilege changes (privileged manual, 12.1.1 and 12.1.2). */
export function defineTraps(module: ModuleBuilder, flushes: TlbFlushes): TrapFunctions {
  const updateMode = defineFunction(module, [], [], (code) => {
    const supervisor = code.local(I32);
    pushField32(code, HartBlock.privilege).set(supervisor);
    setField32(code, HartBlock.dataTlb, () => {
      // The TLBs of U, S, S with SUM, in this order.
      pushField32(code, HartBlock.sstatus).i32Const(SUM_BIT).op(Op.i32ShrU).i32Const(1).op(Op.i32And);
      code.i32Const(1).op(Op.i32Add).i32Const(0).get(supervisor).op(Op.select);
      code.i32Const(DATA_TLB_SIZE).op(Op.i32Mul).i32Const(HartBlock.dataTlbs).op(Op.i32Add);
      code.get(HART).op(Op.i32Add);
    });
    setField32(code, HartBlock.codeTlb, () => {
      code.get(supervisor).i32Const(CODE_TLB_SIZE).op(Op.i32Mul).i32Const(HartBlock.codeTlbs).op(Op.i32Add);
      code.get(HART).op(Op.i32Add);
    });
    setField32(code, HartBlock.mappingKey, () => {
      pushField32(code, HartBlock.mappingKey).i32Const(~1).op(Op.i32And);
      code.get(supervisor).op(Op.i32Eqz).op(Op.i32Or);
    });
  });

  const checkInterrupts = defineFunction(module, [], [], (code) => {
    pushField64(code, HartBlock.sip);
    pushField64(code, HartBlock.sie).op(Op.i64And).op(Op.i64Eqz).if();
    code.op(Op.return).end();
    pushField32(code, HartBlock.sstatus).i32Const(Status.sie).op(Op.i32And);
    pushField32(code, HartBlock.privilege).op(Op.i32Eqz).op(Op.i32Or).if();
    code
      .get(HART)
      .i32Const(Request.interrupt)
      .memory(Op.i32AtomicRmwOr, HartBlock.interruptRequest)
      .op(Op.drop);
    code.end();
  });

  const raise = defineFunction(module, [I64], [], (code) => {
    const pc = 1;
    const cause = code.local(I32);
    const status = code.local(I32);
    setField64(code, HartBlock.sepc, () => code.get(pc));
    pushField32(code, RiscvBlock.trapCause).set(cause);
    setField64(code, HartBlock.scause, () => {
      // Bit 31 is bit 63 of scause.
      code.get(cause).i32Const(0x7fff_ffff).op(Op.i32And).op(Op.i64ExtendI32U);
      code
        .get(cause)
        .i32Const(31)
        .op(Op.i32ShrU)
        .op(Op.i64ExtendI32U)
        .i64Const(63)
        .op(Op.i64Shl)
        .op(Op.i64Or);
    });
    setField64(code, HartBlock.stval, () => pushField64(code, RiscvBlock.trapValue));
    pushField32(code, HartBlock.sstatus).set(status);
    setField32(code, HartBlock.sstatus, () => {
      code
        .get(status)
        .i32Const(~(Status.sie | Status.spie | Status.spp))
        .op(Op.i32And);
      code.get(status).i32Const(Status.sie).op(Op.i32And).i32Const(SPIE_SHIFT).op(Op.i32Shl).op(Op.i32Or);
      pushField32(code, HartBlock.privilege).i32Const(SPP_BIT).op(Op.i32Shl).op(Op.i32Or);
    });
    setField64(code, HartBlock.pc, () => {
      pushField64(code, HartBlock.stvec).i64Const(-4).op(Op.i64And);
      // Vectored mode: interrupts go to 4 × cause from the base.
      code.get(cause).i32Const(4).op(Op.i32Mul).i32Const(0);
      code.get(cause).i32Const(31).op(Op.i32ShrU);
      pushField32(code, HartBlock.stvec).i32Const(1).op(Op.i32And).op(Op.i32And).op(Op.select);
      code.op(Op.i64ExtendI32U).op(Op.i64Add);
    });
    setField32(code, HartBlock.privilege, () => code.i32Const(1));
    code.get(HART).call(updateMode);
  });

  const returnFromSupervisor = defineFunction(module, [], [], (code) => {
    const status = code.local(I32);
    pushField32(code, HartBlock.sstatus).set(status);
    setField32(code, HartBlock.privilege, () => {
      code.get(status).i32Const(SPP_BIT).op(Op.i32ShrU).i32Const(1).op(Op.i32And);
    });
    setField32(code, HartBlock.sstatus, () => {
      code
        .get(status)
        .i32Const(~(Status.sie | Status.spp))
        .op(Op.i32And);
      code.get(status).i32Const(SPIE_SHIFT).op(Op.i32ShrU).i32Const(Status.sie).op(Op.i32And).op(Op.i32Or);
      code.i32Const(Status.spie).op(Op.i32Or);
    });
    setField64(code, HartBlock.pc, () => pushField64(code, HartBlock.sepc));
    code.get(HART).call(updateMode);
    code.get(HART).call(checkInterrupts);
  });

  const writeStatus = defineFunction(module, [I64], [I32], (code) => {
    writeStatusBody(code, { updateMode, checkInterrupts, flushAll: flushes.all });
  });

  return { updateMode, checkInterrupts, raise, returnFromSupervisor, writeStatus };
}

function writeStatusBody(
  code: CodeBuilder,
  functions: { updateMode: number; checkInterrupts: number; flushAll: number },
): void {
  const value = 1;
  const old = code.local(I32);
  const changed = code.local(I32);
  pushField32(code, HartBlock.sstatus).tee(old);
  code.get(value).op(Op.i32WrapI64).op(Op.i32Xor).i32Const(STATUS_WRITABLE).op(Op.i32And).set(changed);
  setField32(code, HartBlock.sstatus, () => code.get(old).get(changed).op(Op.i32Xor));
  code.get(changed).i32Const(Status.mxr).op(Op.i32And).if();
  code.get(HART).call(functions.flushAll);
  code.end();
  code.get(changed).i32Const(Status.sum).op(Op.i32And).if();
  code.get(HART).call(functions.updateMode);
  code.end();
  code.get(HART).call(functions.checkInterrupts);
  // Anything but masking interrupts may have changed what the main function keeps in locals, or made one deliverable.
  code.i32Const(Outcome.resume).i32Const(Outcome.next);
  code.get(changed).i32Const(Status.sum).op(Op.i32And);
  pushField32(code, HartBlock.interruptRequest).op(Op.i32Or).op(Op.select);
}
