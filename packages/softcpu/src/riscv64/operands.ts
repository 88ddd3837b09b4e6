import type { CodeBuilder, Local, ValueType } from '@tsvmm/wasm-emitter';

/**
 * Where an instruction's operands are. The interpreter reads them through the decoded entry from the hart's block; the
 * translator has registers in locals and immediates as constants. Semantics are written against this and nothing else,
 * so both tiers execute the same definition.
 *
 * Each method writes the code that pushes one value.
 */
export interface Operands {
  readonly code: CodeBuilder;
  /** The parameter with the address of the hart's block (i32). */
  readonly hart: Local;
  /** Integer registers: i64. */
  rs1(): void;
  rs2(): void;
  /** Floating-point registers, raw: i64, single-precision values NaN-boxed. */
  frs1(): void;
  frs2(): void;
  frs3(): void;
  /** The immediate, sign-extended: i64, or i32. */
  immediate(): void;
  immediate32(): void;
  /** Address of the instruction: i64. */
  pc(): void;
  /** Rounding mode field of the instruction (0–4, 7 dynamic): i32. */
  roundingMode(): void;
  /** A local for intermediate values, by number: contents do not outlive the instruction. */
  scratch(type: ValueType, index: number): Local;
  /** Pushes the result of one of the hart's helper functions (floating point): arguments are on the stack. */
  callHelper(name: string): void;
  /** Rounding mode known while emitting, or undefined: lets the translator choose a fast path. */
  readonly knownRoundingMode: number | undefined;
}

/** Writes code that computes an instruction's result from its operands and leaves it on the stack: i64, for rd. */
export type Semantics = (operands: Operands) => void;
