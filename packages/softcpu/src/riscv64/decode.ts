import { decodeCompressed } from './decode-compressed.ts';
import { ENCODINGS, type Encoding } from './encodings.ts';
import type { Instruction } from './instruction.ts';

/** Rounding modes 5 and 6 are reserved (unprivileged manual, 20.2). */
const RESERVED_ROUNDING_MODES = new Set([5, 6]);

/** What an encoding can be, by opcode[6:2] and funct3. */
const candidates: readonly (readonly Encoding[])[] = Array.from({ length: 256 }, (_, index) => {
  const opcode = ((index >>> 3) << 2) | 3;
  const funct3 = index & 7;
  return ENCODINGS.filter(({ mask, match, format }) => {
    const known = mask & 0x707f;
    const rounds = format === 'R4' || format.endsWith('-rm');
    return (
      ((opcode | (funct3 << 12)) & known) === (match & known) &&
      !(rounds && RESERVED_ROUNDING_MODES.has(funct3))
    );
  });
});

/**
 * Decodes the instruction whose first bytes are `word`, little endian; a compressed instruction is in the low half and
 * the high half is ignored.
 *
 * @returns operation `illegal`, with the instruction's bits as immediate, for what no supported extension defines.
 */
export function decode(word: number): Instruction {
  if ((word & 3) !== 3) {
    return decodeCompressed(word & 0xffff);
  }
  for (const encoding of candidates[((word >>> 2) & 31) * 8 + ((word >>> 12) & 7)] ?? []) {
    if ((word & encoding.mask) === encoding.match) {
      return fields(encoding, word);
    }
  }
  return { operation: 'illegal', rd: 0, rs1: 0, rs2: 0, rs3: 0, immediate: word | 0, mode: 0, length: 4 };
}

function fields({ operation, format }: Encoding, word: number): Instruction {
  const instruction = { operation, rd: 0, rs1: 0, rs2: 0, rs3: 0, immediate: 0, mode: 0, length: 4 };
  const rd = (word >>> 7) & 31;
  const rs1 = (word >>> 15) & 31;
  const rs2 = (word >>> 20) & 31;
  const funct3 = (word >>> 12) & 7;
  switch (format) {
    case 'R':
      return { ...instruction, rd, rs1, rs2 };
    case 'R-rm':
      return { ...instruction, rd, rs1, rs2, mode: funct3 };
    case 'R-unary':
      return { ...instruction, rd, rs1 };
    case 'R-unary-rm':
      return { ...instruction, rd, rs1, mode: funct3 };
    case 'R4':
      return { ...instruction, rd, rs1, rs2, rs3: word >>> 27, mode: funct3 };
    case 'I':
      return { ...instruction, rd, rs1, immediate: word >> 20 };
    case 'shift':
      // Bit 25 is part of the operation, and 0, where the amount has 5 bits.
      return { ...instruction, rd, rs1, immediate: (word >>> 20) & 63 };
    case 'S':
      return { ...instruction, rs1, rs2, immediate: ((word >> 25) << 5) | rd };
    case 'B':
      return { ...instruction, rs1, rs2, immediate: branchOffset(word) };
    case 'U':
      return { ...instruction, rd, immediate: word & ~0xfff };
    case 'J':
      return { ...instruction, rd, immediate: jumpOffset(word) };
    case 'CSR':
      return { ...instruction, rd, rs1, immediate: word >>> 20 };
    case 'AMO':
      return { ...instruction, rd, rs1, rs2, mode: (word >>> 25) & 3 };
    case 'fence':
      return { ...instruction, immediate: (word >>> 20) & 0xff };
    case 'address':
      return { ...instruction, rs1 };
    case 'none':
      return instruction;
  }
}

function branchOffset(word: number): number {
  return ((word >> 31) << 12) | ((word << 4) & 0x800) | ((word >>> 20) & 0x7e0) | ((word >>> 7) & 0x1e);
}

function jumpOffset(word: number): number {
  return ((word >> 31) << 20) | (word & 0xf_f000) | ((word >>> 9) & 0x800) | ((word >>> 20) & 0x7fe);
}
