import { Op, type Opcode } from '@tsvmm/wasm-emitter';

/** A load or store: the address is rs1 plus the immediate. */
export interface MemoryAccess {
  /** Bytes: 1, 2, 4 or 8. */
  readonly width: 1 | 2 | 4 | 8;
  /** Whether a load extends the sign. */
  readonly signed: boolean;
  /** Whether the data register is a floating-point register; `flw` NaN-boxes what it loads. */
  readonly float: boolean;
  /** The WebAssembly instruction that moves the data, from or to an i64. */
  readonly opcode: Opcode;
}

export const loads: Readonly<Record<string, MemoryAccess>> = {
  lb: { width: 1, signed: true, float: false, opcode: Op.i64Load8S },
  lh: { width: 2, signed: true, float: false, opcode: Op.i64Load16S },
  lw: { width: 4, signed: true, float: false, opcode: Op.i64Load32S },
  ld: { width: 8, signed: true, float: false, opcode: Op.i64Load },
  lbu: { width: 1, signed: false, float: false, opcode: Op.i64Load8U },
  lhu: { width: 2, signed: false, float: false, opcode: Op.i64Load16U },
  lwu: { width: 4, signed: false, float: false, opcode: Op.i64Load32U },
  flw: { width: 4, signed: false, float: true, opcode: Op.i64Load32U },
  fld: { width: 8, signed: false, float: true, opcode: Op.i64Load },
};

export const stores: Readonly<Record<string, MemoryAccess>> = {
  sb: { width: 1, signed: false, float: false, opcode: Op.i64Store8 },
  sh: { width: 2, signed: false, float: false, opcode: Op.i64Store16 },
  sw: { width: 4, signed: false, float: false, opcode: Op.i64Store32 },
  sd: { width: 8, signed: false, float: false, opcode: Op.i64Store },
  fsw: { width: 4, signed: false, float: true, opcode: Op.i64Store32 },
  fsd: { width: 8, signed: false, float: true, opcode: Op.i64Store },
};

/** Ones above a single-precision value in a 64-bit register (unprivileged manual, 21.2). */
export const NAN_BOX = -0x1_0000_0000;
