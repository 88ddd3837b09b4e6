import type { Instruction } from './instruction.ts';

/**
 * Decodes a 16-bit instruction of RV64DC to the instruction it stands for (unprivileged manual, chapter 27).
 *
 * @param half the 16 bits, with the two lowest not both 1.
 */
export function decodeCompressed(half: number): Instruction {
  const funct3 = half >>> 13;
  switch (half & 3) {
    case 0:
      return quadrant0(half, funct3);
    case 1:
      return quadrant1(half, funct3);
    default:
      return quadrant2(half, funct3);
  }
}

const ZERO = 0;
const RA = 1;
const SP = 2;

function make(operation: string, rd: number, rs1: number, rs2: number, immediate: number): Instruction {
  return { operation, rd, rs1, rs2, rs3: 0, immediate, mode: 0, length: 2 };
}

function illegal(half: number): Instruction {
  return make('illegal', 0, 0, 0, half);
}

/** Bits `high`:`low` of the instruction, moved to bit `to` and up: the manual's `imm[…]` notation turned round. */
function bits(half: number, high: number, low: number, to: number): number {
  return ((half >>> low) & ((1 << (high - low + 1)) - 1)) << to;
}

function signExtend(value: number, width: number): number {
  return (value << (32 - width)) >> (32 - width);
}

/** The full-size register field rd/rs1, the field rs2, and the three-bit fields that name x8–x15. */
const rdField = (half: number): number => (half >>> 7) & 31;
const rs2Field = (half: number): number => (half >>> 2) & 31;
const upperShort = (half: number): number => 8 + ((half >>> 7) & 7);
const lowerShort = (half: number): number => 8 + ((half >>> 2) & 7);

const wordOffset = (half: number): number =>
  bits(half, 12, 10, 3) | bits(half, 6, 6, 2) | bits(half, 5, 5, 6);
const doubleOffset = (half: number): number => bits(half, 12, 10, 3) | bits(half, 6, 5, 6);
const unsigned6 = (half: number): number => bits(half, 12, 12, 5) | bits(half, 6, 2, 0);
const signed6 = (half: number): number => signExtend(unsigned6(half), 6);

function quadrant0(half: number, funct3: number): Instruction {
  const base = upperShort(half);
  const data = lowerShort(half);
  switch (funct3) {
    case 0: {
      const offset = bits(half, 12, 11, 4) | bits(half, 10, 7, 6) | bits(half, 6, 6, 2) | bits(half, 5, 5, 3);
      return offset === 0 ? illegal(half) : make('addi', data, SP, 0, offset);
    }
    case 1:
      return make('fld', data, base, 0, doubleOffset(half));
    case 2:
      return make('lw', data, base, 0, wordOffset(half));
    case 3:
      return make('ld', data, base, 0, doubleOffset(half));
    case 5:
      return make('fsd', 0, base, data, doubleOffset(half));
    case 6:
      return make('sw', 0, base, data, wordOffset(half));
    case 7:
      return make('sd', 0, base, data, doubleOffset(half));
    default:
      return illegal(half);
  }
}

function quadrant1(half: number, funct3: number): Instruction {
  const rd = rdField(half);
  const immediate = signed6(half);
  switch (funct3) {
    case 0:
      return make('addi', rd, rd, 0, immediate);
    case 1:
      return rd === 0 ? illegal(half) : make('addiw', rd, rd, 0, immediate);
    case 2:
      return make('addi', rd, ZERO, 0, immediate);
    case 3: {
      if (immediate === 0) {
        return illegal(half);
      }
      if (rd !== SP) {
        return make('lui', rd, 0, 0, immediate << 12);
      }
      const offset =
        bits(half, 12, 12, 9) |
        bits(half, 6, 6, 4) |
        bits(half, 5, 5, 6) |
        bits(half, 4, 3, 7) |
        bits(half, 2, 2, 5);
      return make('addi', SP, SP, 0, signExtend(offset, 10));
    }
    case 4:
      return arithmetic(half);
    case 5: {
      const offset =
        bits(half, 12, 12, 11) |
        bits(half, 11, 11, 4) |
        bits(half, 10, 9, 8) |
        bits(half, 8, 8, 10) |
        bits(half, 7, 7, 6) |
        bits(half, 6, 6, 7) |
        bits(half, 5, 3, 1) |
        bits(half, 2, 2, 5);
      return make('jal', ZERO, 0, 0, signExtend(offset, 12));
    }
    default: {
      const offset =
        bits(half, 12, 12, 8) |
        bits(half, 11, 10, 3) |
        bits(half, 6, 5, 6) |
        bits(half, 4, 3, 1) |
        bits(half, 2, 2, 5);
      return make(funct3 === 6 ? 'beq' : 'bne', 0, upperShort(half), ZERO, signExtend(offset, 9));
    }
  }
}

/** MISC-ALU: what the two low bits of funct6 leave, in the order of its field. */
const REGISTER_OPERATIONS = ['sub', 'xor', 'or', 'and', 'subw', 'addw'];

function arithmetic(half: number): Instruction {
  const rd = upperShort(half);
  switch ((half >>> 10) & 3) {
    case 0:
      return make('srli', rd, rd, 0, unsigned6(half));
    case 1:
      return make('srai', rd, rd, 0, unsigned6(half));
    case 2:
      return make('andi', rd, rd, 0, signed6(half));
    default: {
      const operation = REGISTER_OPERATIONS[bits(half, 12, 12, 2) | bits(half, 6, 5, 0)];
      return operation === undefined ? illegal(half) : make(operation, rd, rd, lowerShort(half), 0);
    }
  }
}

function quadrant2(half: number, funct3: number): Instruction {
  const rd = rdField(half);
  const rs2 = rs2Field(half);
  const wordSlot = bits(half, 12, 12, 5) | bits(half, 6, 4, 2) | bits(half, 3, 2, 6);
  const doubleSlot = bits(half, 12, 12, 5) | bits(half, 6, 5, 3) | bits(half, 4, 2, 6);
  switch (funct3) {
    case 0:
      return make('slli', rd, rd, 0, unsigned6(half));
    case 1:
      return make('fld', rd, SP, 0, doubleSlot);
    case 2:
      return rd === 0 ? illegal(half) : make('lw', rd, SP, 0, wordSlot);
    case 3:
      return rd === 0 ? illegal(half) : make('ld', rd, SP, 0, doubleSlot);
    case 4:
      return jumpOrAdd(half, rd, rs2);
    case 5:
      return make('fsd', 0, SP, rs2, bits(half, 12, 10, 3) | bits(half, 9, 7, 6));
    case 6:
      return make('sw', 0, SP, rs2, bits(half, 12, 9, 2) | bits(half, 8, 7, 6));
    default:
      return make('sd', 0, SP, rs2, bits(half, 12, 10, 3) | bits(half, 9, 7, 6));
  }
}

function jumpOrAdd(half: number, rd: number, rs2: number): Instruction {
  const links = ((half >>> 12) & 1) !== 0;
  if (rs2 !== 0) {
    return make('add', rd, links ? rd : ZERO, rs2, 0);
  }
  if (rd !== 0) {
    return make('jalr', links ? RA : ZERO, rd, 0, 0);
  }
  return links ? make('ebreak', 0, 0, 0, 0) : illegal(half);
}
