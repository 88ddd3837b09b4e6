/** A few RV64I instructions as words (unprivileged manual, chapter 2): enough for bare-metal payloads. */

export const Register = {
  zero: 0,
  ra: 1,
  t0: 5,
  t1: 6,
  t2: 7,
  a0: 10,
  a1: 11,
  a2: 12,
  a6: 16,
  a7: 17,
} as const;

export const Csr = {
  sstatus: 0x100,
  sie: 0x104,
  siselect: 0x150,
  sireg: 0x151,
  stopei: 0x15c,
} as const;

function iType(opcode: number, funct3: number, rd: number, rs1: number, immediate: number): number {
  return ((immediate & 0xfff) << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function store(funct3: number, rs2: number, rs1: number, offset: number): number {
  return ((offset >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((offset & 31) << 7) | 0x23;
}

export const addi = (rd: number, rs1: number, immediate: number) => iType(0x13, 0, rd, rs1, immediate);
export const lui = (rd: number, immediate: number) => (immediate << 12) | (rd << 7) | 0x37;
export const slli = (rd: number, rs1: number, amount: number) => iType(0x13, 1, rd, rs1, amount);
export const lbu = (rd: number, rs1: number, offset: number) => iType(0x03, 4, rd, rs1, offset);
export const lhu = (rd: number, rs1: number, offset: number) => iType(0x03, 5, rd, rs1, offset);
export const lwu = (rd: number, rs1: number, offset: number) => iType(0x03, 6, rd, rs1, offset);
export const ld = (rd: number, rs1: number, offset: number) => iType(0x03, 3, rd, rs1, offset);
export const sb = (rs2: number, rs1: number, offset: number) => store(0, rs2, rs1, offset);
export const sh = (rs2: number, rs1: number, offset: number) => store(1, rs2, rs1, offset);
export const sw = (rs2: number, rs1: number, offset: number) => store(2, rs2, rs1, offset);
export const sd = (rs2: number, rs1: number, offset: number) => store(3, rs2, rs1, offset);
export const ecall = () => 0x73;
export const wfi = () => 0x1050_0073;
export const csrrs = (rd: number, csr: number, rs1: number) => iType(0x73, 2, rd, rs1, csr);
export const csrrw = (rd: number, csr: number, rs1: number) => iType(0x73, 1, rd, rs1, csr);

/** `jal zero` to a distance in bytes, a multiple of 4 within ±1 MiB. */
export function jump(distance: number): number {
  const bits = (from: number, to: number) => (distance >> to) & ((1 << (from - to + 1)) - 1);
  return (bits(20, 20) << 31) | (bits(10, 1) << 21) | (bits(11, 11) << 20) | (bits(19, 12) << 12) | 0x6f;
}

/** Sets a register to a value below 2^43: 31 bits by two instructions, then 12 more. */
export function loadImmediate(rd: number, value: number): number[] {
  const low = (value << 20) >> 20;
  const high = (value - low) / 2 ** 12;
  if (value < 2 ** 31 - 2 ** 11) return [lui(rd, high & 0xfffff), addi(rd, rd, low)];
  return [...loadImmediate(rd, high), slli(rd, rd, 12), addi(rd, rd, low)];
}

/** An SBI call: extension, function, arguments for a0 and on. */
export function sbiCall(extension: number, fid: number, ...args: readonly number[]): number[] {
  return [
    ...args.flatMap((value, index) => loadImmediate(Register.a0 + index, value)),
    ...loadImmediate(Register.a7, extension),
    addi(Register.a6, Register.zero, fid),
    ecall(),
  ];
}

/** Instructions as they stand in memory. */
export function assemble(...parts: readonly (readonly number[])[]): Uint8Array {
  return new Uint8Array(Int32Array.from(parts.flat()).buffer);
}
