import { CodeBuilder, I64, Op, type ValueType } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import type { GuestCode } from '../core/region/control-flow.ts';
import {
  Flow,
  type GuestRegister,
  REGION_REACH,
  type RegionArchitecture,
  type RegionInstruction,
} from '../core/region/region-architecture.ts';
import type { RegionEmitter } from '../core/region/region-emitter.ts';
import { RegionExit } from '../core/region/region-table.ts';
import { decode } from './decode.ts';
import { RoundingMode } from './float/environment.ts';
import { FLOAT_HELPERS, type FloatHelper } from './float/signatures.ts';
import type { Instruction } from './instruction.ts';
import type { Semantics } from './operands.ts';
import { accessRun, setResult, writeAccess, writeAccessRun } from './region-accesses.ts';
import { isAtomic, writeAtomic } from './region-atomics.ts';
import { FLOAT_REGISTERS, RegionOperands, type Source, SourceRecorder } from './region-operands.ts';
import { bitManipulationSemantics } from './semantics/bit-manipulation.ts';
import { floatEffects, floatSemantics } from './semantics/float.ts';
import { branchConditions, integerSemantics } from './semantics/integer.ts';
import { loads, stores } from './semantics/memory.ts';
import { multiplyDivideSemantics } from './semantics/multiply-divide.ts';

/** An RV64 instruction in a region. */
export interface RiscvRegionInstruction extends RegionInstruction {
  readonly instruction: Instruction;
}

const integerResults: Readonly<Record<string, Semantics>> = {
  ...integerSemantics,
  ...multiplyDivideSemantics,
  ...bitManipulationSemantics,
};
const results: Readonly<Record<string, Semantics>> = { ...integerResults, ...floatSemantics };

/** What an operation reads, from its definition. */
const sourcesOf: ReadonlyMap<string, readonly Source[]> = new Map(
  Object.entries({ ...results, ...branchConditions }).map(([operation, semantics]) => {
    const recorder = new SourceRecorder(new CodeBuilder(1));
    semantics(recorder);
    return [operation, [...recorder.sources]];
  }),
);

/** `sstatus.FS`: 0 off, 3 dirty (privileged manual, 3.1.6.6). */
const SSTATUS_FS = 3 << 13;

/** Registers by which calls pass the address to return to (unprivileged manual, 2.5.1). */
const isLink = (register: number): boolean => register === 1 || register === 5;

/** RV64GC with the bit manipulation extensions: CSRs, fences of instructions, traps and reservations are the interpreter's. */
export const riscvRegions: RegionArchitecture<RiscvRegionInstruction> = {
  registers: [
    ...Array.from({ length: 32 }, (_, n): GuestRegister => ({ type: I64, hartOffset: HartBlock.x + n * 8 })),
    ...Array.from({ length: 32 }, (_, n): GuestRegister => ({ type: I64, hartOffset: HartBlock.f + n * 8 })),
  ],
  decode: decodeForRegion,
  writeGuard,
  writeInstructions,
  writeLink,
  writeCondition,
  writeTarget,
  helperType,
};

function decodeForRegion(
  guestCode: GuestCode,
  offset: number,
  previous: RiscvRegionInstruction | undefined,
): RiscvRegionInstruction | undefined {
  const low = halfword(guestCode, offset);
  if (low === undefined) {
    return undefined;
  }
  let word = low;
  if ((low & 3) === 3) {
    const high = halfword(guestCode, offset + 2);
    if (high === undefined) {
      return undefined;
    }
    word |= high << 16;
  }
  const instruction = decode(word);
  const { flow, target, pairedWithPrevious } = flowOf(instruction, offset, previous);
  return {
    instruction,
    offset,
    length: instruction.length,
    flow,
    target,
    pairedWithPrevious,
    reads: flow === Flow.stop ? [] : readsOf(instruction),
    writes: flow === Flow.stop ? [] : writesOf(instruction),
    mayLeave: mayLeave(instruction),
  };
}

function halfword(guestCode: GuestCode, offset: number): number | undefined {
  const low = guestCode.byte(offset);
  const high = guestCode.byte(offset + 1);
  return low === undefined || high === undefined ? undefined : low | (high << 8);
}

function flowOf(
  instruction: Instruction,
  offset: number,
  previous: RiscvRegionInstruction | undefined,
): Pick<RegionInstruction, 'flow' | 'target' | 'pairedWithPrevious'> {
  const { operation, rd, rs1, immediate } = instruction;
  const to = (flow: Flow, target = 0, pairedWithPrevious = false) => ({ flow, target, pairedWithPrevious });
  if (operation in branchConditions) {
    return to(Flow.branch, offset + immediate);
  }
  if (operation === 'jal') {
    return to(rd === 0 ? Flow.jump : Flow.call, offset + immediate);
  }
  if (operation === 'jalr') {
    if (previous?.instruction.operation === 'auipc' && previous.instruction.rd === rs1) {
      const sum = previous.offset + previous.instruction.immediate + immediate;
      // What is farther away (the kernel is, for a module) is called by its address.
      if (Math.abs(sum) <= REGION_REACH) return to(rd === 0 ? Flow.jump : Flow.call, sum & ~1, true);
    }
    if (rd !== 0) {
      return to(Flow.indirectCall);
    }
    return to(isLink(rs1) ? Flow.return : Flow.indirect);
  }
  return to(isTranslatable(instruction) ? Flow.next : Flow.stop);
}

function isTranslatable({ operation, mode }: Instruction): boolean {
  if (floatEffects[operation]?.hasRoundingMode && mode > RoundingMode.nearestMaxMagnitude) {
    return mode === RoundingMode.dynamic;
  }
  return (
    operation in results ||
    operation in loads ||
    operation in stores ||
    isAtomic(operation) ||
    operation === 'fence'
  );
}

function mayLeave({ operation }: Instruction): boolean {
  return operation in loads || operation in stores || isAtomic(operation);
}

const REGISTER_OF: Readonly<Record<Source, (instruction: Instruction) => number>> = {
  rs1: ({ rs1 }) => rs1,
  rs2: ({ rs2 }) => rs2,
  frs1: ({ rs1 }) => FLOAT_REGISTERS + rs1,
  frs2: ({ rs2 }) => FLOAT_REGISTERS + rs2,
  frs3: ({ rs3 }) => FLOAT_REGISTERS + rs3,
};

function readsOf(instruction: Instruction): number[] {
  const { operation } = instruction;
  let sources: readonly Source[] = sourcesOf.get(operation) ?? [];
  if (operation in loads || operation === 'jalr') {
    sources = ['rs1'];
  } else if (operation in stores) {
    sources = ['rs1', stores[operation]?.float ? 'frs2' : 'rs2'];
  } else if (isAtomic(operation)) {
    sources = ['rs1', 'rs2'];
  }
  return sources.map((source) => REGISTER_OF[source](instruction)).filter((register) => register !== 0);
}

function writesOf({ operation, rd }: Instruction): number[] {
  if (operation in branchConditions || operation in stores || operation === 'fence') {
    return [];
  }
  if (floatEffects[operation]?.writesFloat || loads[operation]?.float) {
    return [FLOAT_REGISTERS + rd];
  }
  return rd === 0 ? [] : [rd];
}

function usesFloat({ operation }: Instruction): boolean {
  return operation in floatEffects || (loads[operation] ?? stores[operation])?.float === true;
}

function dirtiesFloat({ operation }: Instruction): boolean {
  const effects = floatEffects[operation];
  return effects?.writesFloat || effects?.raisesFlags || loads[operation]?.float === true;
}

/**
 * Floating-point instructions need `sstatus.FS` on and, if they round as `frm` says, a mode there that is not reserved.
 * Regions do not change either, so one look is enough. A state that may become dirty is dirty from here on, which the
 * manual leaves to implementations.
 */
function writeGuard(
  emitter: RegionEmitter,
  instructions: readonly RiscvRegionInstruction[],
  entry: number,
): void {
  const all = instructions.map(({ instruction }) => instruction).filter(usesFloat);
  if (all.length === 0) {
    return;
  }
  const { code, hart } = emitter;
  emitter.leaveIf(RegionExit.interpret, entry, () => {
    code.get(hart).memory(Op.i32Load, HartBlock.sstatus).i32Const(SSTATUS_FS).op(Op.i32And).op(Op.i32Eqz);
  });
  if (all.some(({ mode, operation }) => mode === RoundingMode.dynamic && operation in floatEffects)) {
    emitter.leaveIf(RegionExit.interpret, entry, () => {
      code.get(hart).memory(Op.i32Load, HartBlock.frm);
      code.i32Const(RoundingMode.nearestMaxMagnitude).op(Op.i32GtU);
    });
  }
  if (all.some(dirtiesFloat)) {
    code.get(hart).get(hart).memory(Op.i32Load, HartBlock.sstatus).i32Const(SSTATUS_FS).op(Op.i32Or);
    code.memory(Op.i32Store, HartBlock.sstatus);
  }
}

function writeInstructions(emitter: RegionEmitter, instructions: readonly RiscvRegionInstruction[]): void {
  for (let index = 0; index < instructions.length; ) {
    const run = accessRun(instructions, index);
    if (run.length > 1) {
      writeAccessRun(emitter, run);
      index += run.length;
    } else {
      writeInstruction(emitter, instructions[index] as RiscvRegionInstruction);
      index++;
    }
  }
}

function writeInstruction(emitter: RegionEmitter, regionInstruction: RiscvRegionInstruction): void {
  const { instruction, offset } = regionInstruction;
  const { operation, rd } = instruction;
  const operands = new RegionOperands(emitter, instruction, offset);
  if (operation in results) {
    writeResult(emitter, operands, instruction);
  } else if (operation in loads || operation in stores) {
    writeAccess(emitter, regionInstruction);
  } else if (isAtomic(operation)) {
    writeAtomic(emitter, operands, instruction, offset);
    setResult(emitter, rd);
  } else {
    emitter.code.atomicFence();
  }
}

function writeLink(emitter: RegionEmitter, { instruction, offset, length }: RiscvRegionInstruction): void {
  if (instruction.rd !== 0) {
    emitter.pushPc(offset + length);
    emitter.code.set(emitter.register(instruction.rd));
  }
}

function writeResult(emitter: RegionEmitter, operands: RegionOperands, instruction: Instruction): void {
  const { operation, rd } = instruction;
  if (operation in integerResults && rd === 0) {
    return;
  }
  results[operation]?.(operands);
  if (floatEffects[operation]?.writesFloat) {
    emitter.code.set(emitter.register(FLOAT_REGISTERS + rd));
  } else {
    setResult(emitter, rd);
  }
}

function writeCondition(emitter: RegionEmitter, { instruction, offset }: RiscvRegionInstruction): void {
  branchConditions[instruction.operation]?.(new RegionOperands(emitter, instruction, offset));
}

function writeTarget(emitter: RegionEmitter, { instruction, offset }: RiscvRegionInstruction): void {
  new RegionOperands(emitter, instruction, offset).address();
  emitter.code.i64Const(-2).op(Op.i64And);
}

function helperType(name: string): { parameters: readonly ValueType[]; results: readonly ValueType[] } {
  return { parameters: FLOAT_HELPERS[name as FloatHelper], results: [I64] };
}
