import { Op } from '@tsvmm/wasm-emitter';
import type { RegionInstruction } from '../core/region/region-architecture.ts';
import type { RegionEmitter } from '../core/region/region-emitter.ts';
import type { Instruction } from './instruction.ts';
import { FLOAT_REGISTERS, RegionOperands } from './region-operands.ts';
import { loads, type MemoryAccess, NAN_BOX, stores } from './semantics/memory.ts';

interface AccessInstruction extends RegionInstruction {
  readonly instruction: Instruction;
}

/** Sets an integer register to the i64 on the stack. */
export function setResult(emitter: RegionEmitter, rd: number): void {
  if (rd === 0) {
    emitter.code.op(Op.drop);
  } else {
    emitter.code.set(emitter.register(rd));
  }
}

/** Writes a load or store. */
export function writeAccess(emitter: RegionEmitter, { instruction, offset }: AccessInstruction): void {
  const operands = new RegionOperands(emitter, instruction, offset);
  const { operation } = instruction;
  const load = loads[operation];
  const access = load ?? stores[operation];
  if (access !== undefined) {
    const kind = load === undefined ? 'write' : 'read';
    emitter.translate(offset, kind, access.width, () => operands.address());
    writeTransfer(emitter, operands, instruction, access, 0);
  }
}

/** Moves the datum whose address in the WebAssembly memory is on the stack. */
function writeTransfer(
  emitter: RegionEmitter,
  operands: RegionOperands,
  { operation, rd }: Instruction,
  access: MemoryAccess,
  displacement: number,
): void {
  const { code } = emitter;
  if (operation in stores) {
    access.float ? operands.frs2() : operands.rs2();
    code.memory(access.opcode, displacement, 0);
    return;
  }
  code.memory(access.opcode, displacement, 0);
  if (!access.float) {
    setResult(emitter, rd);
    return;
  }
  if (access.width === 4) {
    code.i64Const(NAN_BOX).op(Op.i64Or);
  }
  code.set(emitter.register(FLOAT_REGISTERS + rd));
}

/** Bytes that the accesses of a run may span: what is further apart is seldom on one page. */
const MAXIMUM_SPAN = 512;

/**
 * The loads, or the stores, that start at an index and follow each other with the same width and base register, such as a
 * function makes when it saves and restores registers.
 */
export function accessRun<I extends AccessInstruction>(
  instructions: readonly I[],
  start: number,
): readonly I[] {
  const first = instructions[start]?.instruction;
  const kind = first !== undefined && first.operation in loads ? loads : stores;
  const access = kind[first?.operation ?? ''];
  if (first === undefined || access === undefined) {
    return [];
  }
  let lowest = first.immediate;
  let highest = first.immediate;
  let end = start;
  for (; end < instructions.length; end++) {
    const { operation, rs1, immediate } = (instructions[end] as I).instruction;
    lowest = Math.min(lowest, immediate);
    highest = Math.max(highest, immediate);
    const isAligned = (immediate - first.immediate) % access.width === 0;
    const isNear = highest - lowest < MAXIMUM_SPAN;
    if (kind[operation]?.width !== access.width || rs1 !== first.rs1 || !isAligned || !isNear) {
      break;
    }
    if (kind === loads && !loads[operation]?.float && (instructions[end] as I).instruction.rd === rs1) {
      // The last of the run: the base is another one from here on.
      end++;
      break;
    }
  }
  return instructions.slice(start, end);
}

/** Writes a run of accesses: with one look into the TLB if they are on one page, as they mostly are. */
export function writeAccessRun(emitter: RegionEmitter, run: readonly AccessInstruction[]): void {
  const immediates = run.map(({ instruction }) => instruction.immediate);
  const lowest = Math.min(...immediates);
  const first = (run[0] as AccessInstruction).instruction;
  const isLoad = first.operation in loads;
  const kind = isLoad ? loads : stores;
  const width = kind[first.operation]?.width ?? 1;
  const { code } = emitter;
  emitter.translateTogether(
    isLoad ? 'read' : 'write',
    width,
    Math.max(...immediates) + width - lowest,
    () => new RegionOperands(emitter, { ...first, immediate: lowest }, 0).address(),
    (host) => {
      for (const { instruction, offset } of run) {
        const access = kind[instruction.operation];
        if (access !== undefined) {
          code.get(host);
          const operands = new RegionOperands(emitter, instruction, offset);
          writeTransfer(emitter, operands, instruction, access, instruction.immediate - lowest);
        }
      }
    },
    () => {
      for (const instruction of run) {
        writeAccess(emitter, instruction);
      }
    },
  );
}
