import { ENCODINGS, type Format } from '../src/riscv64/encodings.ts';

export interface Fields {
  readonly rd?: number;
  readonly rs1?: number;
  readonly rs2?: number;
  readonly immediate?: number;
}

const byName = new Map(ENCODINGS.map((encoding) => [encoding.operation, encoding]));

/** The word of an instruction, by the table that also decodes it; binutils vouches for the table (decode.test.ts). */
export function encode(operation: string, { rd = 0, rs1 = 0, rs2 = 0, immediate = 0 }: Fields = {}): number {
  const encoding = byName.get(operation);
  if (encoding === undefined) {
    throw new RangeError(`no instruction ${operation}`);
  }
  const fields = (rd << 7) | (rs1 << 15) | (rs2 << 20) | immediateBits(encoding.format, immediate);
  return encoding.match | (fields & ~encoding.mask) | 0;
}

function immediateBits(format: Format, value: number): number {
  switch (format) {
    case 'I':
    case 'CSR':
    case 'shift':
      return value << 20;
    case 'S':
      return ((value >> 5) << 25) | ((value & 31) << 7);
    case 'B':
      return (
        ((value >> 12) << 31) |
        (((value >> 5) & 63) << 25) |
        (((value >> 1) & 15) << 8) |
        (((value >> 11) & 1) << 7)
      );
    case 'U':
      return value & ~0xfff;
    case 'J':
      return (
        ((value >> 20) << 31) |
        (((value >> 1) & 0x3ff) << 21) |
        (((value >> 11) & 1) << 20) |
        (((value >> 12) & 0xff) << 12)
      );
    default:
      return 0;
  }
}

/** Instructions under short names, for the programs of tests. Registers are numbers. */
export const asm = {
  addi: (rd: number, rs1: number, immediate: number) => encode('addi', { rd, rs1, immediate }),
  lui: (rd: number, immediate: number) => encode('lui', { rd, immediate }),
  load: (operation: string, rd: number, rs1: number, immediate = 0) =>
    encode(operation, { rd, rs1, immediate }),
  store: (operation: string, rs2: number, rs1: number, immediate = 0) =>
    encode(operation, { rs1, rs2, immediate }),
  csrr: (rd: number, csr: number) => encode('csrrs', { rd, immediate: csr }),
  csrw: (csr: number, rs1: number) => encode('csrrw', { rs1, immediate: csr }),
  csrs: (csr: number, rs1: number) => encode('csrrs', { rs1, immediate: csr }),
  csrc: (csr: number, rs1: number) => encode('csrrc', { rs1, immediate: csr }),
  jump: (immediate: number) => encode('jal', { immediate }),
  jalr: (rd: number, rs1: number, immediate = 0) => encode('jalr', { rd, rs1, immediate }),
  branch: (operation: string, rs1: number, rs2: number, immediate: number) =>
    encode(operation, { rs1, rs2, immediate }),
  plain: (operation: string) => encode(operation),
};

/** Instructions that put a 64-bit constant into a register: eight of them, whatever the constant. */
export function loadConstant(rd: number, value: bigint): number[] {
  const words: number[] = [];
  const bits = BigInt.asUintN(64, value);
  // 9 bits, then five times 11.
  words.push(asm.addi(rd, 0, Number(bits >> 55n)));
  for (let shift = 44n; shift >= 0n; shift -= 11n) {
    words.push(encode('slli', { rd, rs1: rd, immediate: 11 }));
    words.push(asm.addi(rd, rd, Number((bits >> shift) & 0x7ffn)));
  }
  return words;
}
