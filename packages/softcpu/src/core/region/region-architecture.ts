import type { ValueType } from '@tsvmm/wasm-emitter';
import type { GuestCode } from './control-flow.ts';
import type { RegionEmitter } from './region-emitter.ts';

/** How control goes on after an instruction. */
export const Flow = {
  /** At the next instruction. */
  next: 0,
  /** At `target` or at the next instruction. */
  branch: 1,
  /** At `target`. */
  jump: 2,
  /** At `target`, which is expected to come back to the next instruction. */
  call: 3,
  /** Anywhere. */
  indirect: 4,
  /** Anywhere, and expected to come back to the next instruction. */
  indirectCall: 5,
  /** Where the caller went on: expected after one of the calls of this function. */
  return: 6,
  /** A region cannot do it: the interpreter must. */
  stop: 7,
} as const;

export type Flow = (typeof Flow)[keyof typeof Flow];

/**
 * How far from its base a region may have instructions, in bytes to either side. An exit says where control goes on by a
 * 31-bit offset: from here, a direct jump of an instruction (at most 1 MiB in RISC-V) stays within that.
 */
export const REGION_REACH = 2 ** 29;

/** An instruction as regions see it. All offsets are bytes from the region's base. */
export interface RegionInstruction {
  readonly offset: number;
  /** Bytes of the encoding. */
  readonly length: number;
  readonly flow: Flow;
  /** Where `branch`, `jump` and `call` lead. */
  readonly target: number;
  /** Whether flow or meaning are only this if the instruction before was executed just before. */
  readonly pairedWithPrevious: boolean;
  /** Guest registers read and written, as indices of {@link RegionArchitecture.registers}. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  /** Whether the region may be left before the instruction has done anything (memory accesses). */
  readonly mayLeave: boolean;
}

/** Where a guest register lives outside regions. */
export interface GuestRegister {
  readonly type: ValueType;
  /** Offset in the hart's block. */
  readonly hartOffset: number;
}

/** What an architecture brings to the region translator. `I` is its instruction. */
export interface RegionArchitecture<I extends RegionInstruction = RegionInstruction> {
  readonly registers: readonly GuestRegister[];
  /**
   * Decodes the instruction at an offset from the region's base.
   *
   * @param previous the instruction that ends where this one starts and falls through to it, if that is known.
   * @returns undefined if bytes of it are on a page that is not known.
   */
  decode(guestCode: GuestCode, offset: number, previous: I | undefined): I | undefined;
  /**
   * Writes what must be true for any of the instructions to be done in a region: leaves it otherwise.
   *
   * @param entry offset at which the region was entered.
   */
  writeGuard(emitter: RegionEmitter, instructions: readonly I[], entry: number): void;
  /** Writes consecutive instructions whose flow is `next`. */
  writeInstructions(emitter: RegionEmitter, instructions: readonly I[]): void;
  /** Writes what a jump does besides transferring control: its link. */
  writeLink(emitter: RegionEmitter, instruction: I): void;
  /** Pushes the condition of a branch: i32. */
  writeCondition(emitter: RegionEmitter, instruction: I): void;
  /** Pushes the target of an indirect jump (i64), before {@link writeLink}. */
  writeTarget(emitter: RegionEmitter, instruction: I): void;
  /** Type of a helper function that regions import. */
  helperType(name: string): {
    readonly parameters: readonly ValueType[];
    readonly results: readonly ValueType[];
  };
}
