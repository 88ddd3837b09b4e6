/**
 * A decoded RV64 instruction. Compressed instructions are decoded to what they stand for; only `length` tells.
 * Fields that the operation does not use are 0.
 */
export interface Instruction {
  /** Name of the operation: the manual's mnemonic with dots as underscores (`fadd_d`, `amoadd_w`, `sh1add_uw`). */
  readonly operation: string;
  /** Destination register, integer or floating point as the operation says: 0–31. */
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  /** Third source of the fused multiply-adds. */
  readonly rs3: number;
  /** Immediate, sign-extended to 32 bits; shift amount; CSR number; `fence` sets. */
  readonly immediate: number;
  /** Rounding mode field of floating-point instructions (7: dynamic); `aq rl` bits of atomics. */
  readonly mode: number;
  /** Bytes of the encoding: 2 or 4. */
  readonly length: number;
}
