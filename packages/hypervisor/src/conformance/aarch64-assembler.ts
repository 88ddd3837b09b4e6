/** A few A64 instructions as words (Arm ARM, C6): enough for bare-metal payloads. */

/** System registers: op0, op1, CRn, CRm, op2 in 16 bits. */
function system(op0: number, op1: number, crn: number, crm: number, op2: number): number {
  return (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;
}

export const SystemRegister = {
  mpidrEl1: system(3, 0, 0, 0, 5),
  iccPmrEl1: system(3, 0, 4, 6, 0),
  iccIar1El1: system(3, 0, 12, 12, 0),
  iccEoir1El1: system(3, 0, 12, 12, 1),
  iccSreEl1: system(3, 0, 12, 12, 5),
  iccIgrpen1El1: system(3, 0, 12, 12, 7),
} as const;

export type AccessSize = 1 | 2 | 4 | 8;

/** `movz` and `movk`: a register's whole value. */
export function mov(rd: number, value: number | bigint): number[] {
  const halves = [0, 1, 2, 3].map((n) => Number((BigInt(value) >> BigInt(16 * n)) & 0xffffn));
  return halves
    .map((half, n) => (n === 0 ? 0xd280_0000 : 0xf280_0000) | (n << 21) | (half << 5) | rd)
    .filter((_, n) => n === 0 || halves[n] !== 0);
}

/** `str` and `ldr` of a size, at an offset that is a multiple of it; loads clear the rest of the register. */
export function str(rt: number, rn: number, offset: number, size: AccessSize): number {
  return access(0, rt, rn, offset, size);
}

export function ldr(rt: number, rn: number, offset: number, size: AccessSize): number {
  return access(1, rt, rn, offset, size);
}

function access(load: 0 | 1, rt: number, rn: number, offset: number, size: AccessSize): number {
  return (Math.log2(size) << 30) | 0x3900_0000 | (load << 22) | ((offset / size) << 10) | (rn << 5) | rt;
}

export const mrs = (rt: number, register: number) => 0xd520_0000 | (register << 5) | rt;
export const msr = (register: number, rt: number) => 0xd500_0000 | (register << 5) | rt;
export const hvc = 0xd400_0002;
export const wfi = 0xd503_207f;
export const isb = 0xd503_3fdf;
/** `b` to a distance in bytes, a multiple of 4. */
export const branch = (distance: number) => 0x1400_0000 | ((distance >> 2) & 0x03ff_ffff);
/** `mov xd, xm` */
export const movRegister = (rd: number, rm: number) => 0xaa00_03e0 | (rm << 16) | rd;
/** `fmov vd.d[1], xn` and `fmov dd, xn` */
export const fmovUpper = (vd: number, xn: number) => 0x9eaf_0000 | (xn << 5) | vd;
export const fmov = (vd: number, xn: number) => 0x9e67_0000 | (xn << 5) | vd;

/** Instructions as they stand in memory. */
export function assemble(...parts: readonly (readonly number[])[]): Uint8Array {
  return new Uint8Array(Int32Array.from(parts.flat()).buffer);
}
