import { type CodeBuilder, I32, I64, type Local, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { RiscvBlock } from './block.ts';
import { type DataAccessFunctions, Place } from './data-access.ts';
import {
  EntryOperands,
  pushOffset,
  pushRegisterB,
  setRegisterA,
  storeRegisterA,
  writeCases,
} from './entry-code.ts';
import { cacheBlockOperations, firstOfGroup, rareGroups } from './entry-operations.ts';
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
import { Entry } from './predecode.ts';
import { Cause, Status } from './registers.ts';
import { bitManipulationSemantics } from './semantics/bit-manipulation.ts';
import { floatEffects, floatSemantics, reservedRoundingMode } from './semantics/float.ts';
import { multiplyDivideSemantics } from './semantics/multiply-divide.ts';
import type { TlbFlushes } from './tlb-flush.ts';
import type { TrapFunctions } from './traps.ts';

const IP = 1;
const OPERATION = 2;
const PC = 3;

/** `(hart, ip, operation)`: integer instructions that are rare. They only compute, and rd is never x0. */
export function defineRareIntegers(module: ModuleBuilder): number {
  const semantics = { ...multiplyDivideSemantics, ...bitManipulationSemantics };
  return defineFunction(module, [I32, I32], [], (code) => {
    // None of them looks at the pc.
    const operands = new EntryOperands(code, IP, code.local(I64), new Map());
    writeCases(code, OPERATION, firstOfGroup('integer'), rareGroups.integer, (operation) => {
      setRegisterA(code, IP, HartBlock.x, () => semantics[operation]?.(operands));
      code.op(Op.return);
    });
  });
}

/** Writes an exit with an illegal-instruction exception unless the floating-point unit is on (sstatus.FS). */
function refuseUnlessFloatIsOn(code: CodeBuilder): void {
  pushField32(code, HartBlock.sstatus).i32Const(Status.fs).op(Op.i32And).op(Op.i32Eqz).if();
  code.i32Const(Outcome.illegal).op(Op.return).end();
}

/** Notes that floating-point registers or flags changed: FS becomes dirty. */
export function markFloatDirty(code: CodeBuilder): void {
  setField32(code, HartBlock.sstatus, () => {
    pushField32(code, HartBlock.sstatus).i32Const(Status.fs).op(Op.i32Or);
  });
}

/** `(hart, ip, operation) → Outcome`: F and D, but loads and stores. */
export function defineFloatOperations(module: ModuleBuilder, helpers: ReadonlyMap<string, number>): number {
  return defineFunction(module, [I32, I32], [I32], (code) => {
    const operands = new EntryOperands(code, IP, code.local(I64), helpers);
    refuseUnlessFloatIsOn(code);
    writeCases(code, OPERATION, firstOfGroup('float'), rareGroups.float, (operation) => {
      const effects = floatEffects[operation];
      const compute = (): void => floatSemantics[operation]?.(operands);
      if (effects?.hasRoundingMode === true) {
        reservedRoundingMode(operands);
        code.if();
        code.i32Const(Outcome.illegal).op(Op.return).end();
      }
      if (effects?.writesFloat === true) {
        setRegisterA(code, IP, HartBlock.f, compute);
      } else {
        const result = operands.scratch(I64, 8);
        compute();
        code.set(result);
        storeRegisterA(code, IP, () => code.get(result));
      }
      if (effects?.writesFloat === true || effects?.raisesFlags === true) {
        markFloatDirty(code);
      }
      code.i32Const(Outcome.next).op(Op.return);
    });
  });
}

/** What system instructions need of the rest. */
export interface SystemDependencies {
  readonly access: DataAccessFunctions;
  readonly walk: WalkFunctions;
  readonly traps: TrapFunctions;
  readonly flushes: TlbFlushes;
  readonly csr: number;
  /** `()`: ecall from S-mode. */
  readonly supervisorCall: number;
  /** `()`: WFI. */
  readonly waitForInterrupt: number;
  /** `()`: fence.i. */
  readonly fenceInstruction: number;
}

/** Bits of senvcfg that let U-mode use cache-block instructions (Zicbom, Zicboz). */
const ENVIRONMENT_ENABLES: Readonly<Record<string, number>> = {
  cbo_inval: 3 << 4,
  cbo_clean: 1 << 6,
  cbo_flush: 1 << 6,
  cbo_zero: 1 << 7,
};

/** Bytes of a cache block. */
const CACHE_BLOCK = 64;

/** `(hart, ip, operation, pc: i64) → Outcome`: what has to do with privilege, other harts, or nothing else. */
export function defineSystemOperations(module: ModuleBuilder, needs: SystemDependencies): number {
  return defineFunction(module, [I32, I32, I64], [I32], (code) => {
    const address = code.local(I64);
    const scratch = code.local(I32);
    const finish = (outcome: number): void => {
      code.i32Const(outcome).op(Op.return);
    };
    const fault = (cause: number, value: () => void): void => {
      setField32(code, RiscvBlock.trapCause, () => code.i32Const(cause));
      setField64(code, RiscvBlock.trapValue, value);
      finish(Outcome.fault);
    };
    const setPcAfter = (): void => {
      setField64(code, HartBlock.pc, () => code.get(PC).i64Const(4).op(Op.i64Add));
    };
    const refuseInUserMode = (): void => {
      pushField32(code, HartBlock.privilege).op(Op.i32Eqz).if();
      finish(Outcome.illegal);
      code.end();
    };
    const cases: Readonly<Record<string, () => void>> = {
      csr: () => {
        code.get(HART).get(IP).call(needs.csr).tee(scratch).i32Const(Outcome.resume).op(Op.i32Eq).if();
        setPcAfter();
        code.end();
        code.get(scratch).op(Op.return);
      },
      fence: () => {
        code.atomicFence();
        finish(Outcome.next);
      },
      fence_i: () => {
        setPcAfter();
        code.call(needs.fenceInstruction);
        finish(Outcome.resume);
      },
      ecall: () => {
        pushField32(code, HartBlock.privilege).op(Op.i32Eqz).if();
        fault(Cause.userCall, () => code.i64Const(0));
        code.end();
        setPcAfter();
        code.call(needs.supervisorCall);
        finish(Outcome.resume);
      },
      ebreak: () => fault(Cause.breakpoint, () => code.get(PC)),
      sret: () => {
        refuseInUserMode();
        code.get(HART).call(needs.traps.returnFromSupervisor);
        finish(Outcome.resume);
      },
      wfi: () => {
        refuseInUserMode();
        setPcAfter();
        code.call(needs.waitForInterrupt);
        finish(Outcome.resume);
      },
      sfence_vma: () => {
        refuseInUserMode();
        setPcAfter();
        pushOffset(code, IP, 'b');
        code.if();
        code.get(HART);
        pushRegisterB(code, IP);
        code.call(needs.flushes.page).else();
        // With an address space in rs2, global mappings may stay.
        pushOffset(code, IP, 'a');
        code.if();
        code.get(HART).call(needs.flushes.nonGlobal).else().get(HART).call(needs.flushes.all).end();
        code.end();
        finish(Outcome.resume);
      },
      discarding_load: () => {
        pushAddress(code);
        code.set(address).get(HART).get(address);
        // The width's logarithm is the kind of the signed load of that width.
        pushOffset(code, IP, 'a');
        code.op(Op.i32Ctz).call(needs.access.load).if();
        finish(Outcome.fault);
        code.end();
        finish(Outcome.next);
      },
    };
    writeCases(code, OPERATION, firstOfGroup('system'), rareGroups.system, (operation) => {
      if ((cacheBlockOperations as readonly string[]).includes(operation)) {
        writeCacheBlock(code, operation, { address, place: scratch, ...needs });
      } else {
        cases[operation]?.();
      }
    });
  });
}

/** Pushes rs1 plus the immediate. */
function pushAddress(code: CodeBuilder): void {
  pushRegisterB(code, IP);
  code.get(IP).memory(Op.i64Load32S, Entry.immediate).op(Op.i64Add);
}

/** Cache-block management does nothing where memory is coherent, but it faults as stores do; zeroing stores. */
function writeCacheBlock(
  code: CodeBuilder,
  operation: string,
  needs: {
    readonly address: Local;
    readonly place: Local;
    readonly access: DataAccessFunctions;
    readonly walk: WalkFunctions;
  },
): void {
  const { address, place } = needs;
  pushField32(code, HartBlock.privilege).op(Op.i32Eqz);
  pushField64(code, HartBlock.senvcfg).op(Op.i32WrapI64);
  code
    .i32Const(ENVIRONMENT_ENABLES[operation] ?? 0)
    .op(Op.i32And)
    .op(Op.i32Eqz)
    .op(Op.i32And)
    .if();
  code.i32Const(Outcome.illegal).op(Op.return).end();
  pushRegisterB(code, IP);
  code.i64Const(-CACHE_BLOCK).op(Op.i64And).set(address);
  code.get(HART).get(address).i32Const(Access.write).call(needs.access.locate).tee(place);
  code.i32Const(Place.memory).op(Op.i32Ne).if();
  code.get(place).if();
  code.get(HART).get(address).i32Const(Access.write).call(needs.walk.accessFault).end();
  code.i32Const(Outcome.fault).op(Op.return).end();
  if (operation === 'cbo_zero') {
    pushField32(code, RiscvBlock.hostAddress).i32Const(0).i32Const(CACHE_BLOCK).memoryFill();
  }
  code.i32Const(Outcome.next).op(Op.return);
}
