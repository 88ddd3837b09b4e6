import { PAGE_SIZE } from '../core/layout.ts';
import { decode } from './decode.ts';
import { ENCODINGS } from './encodings.ts';
import { CROSSING, FIRST_JUMP, FIRST_RARE, ILLEGAL, requireOperation } from './entry-operations.ts';
import type { Instruction } from './instruction.ts';
import { bitManipulationSemantics } from './semantics/bit-manipulation.ts';
import { floatSemantics } from './semantics/float.ts';
import { branchConditions, integerSemantics } from './semantics/integer.ts';
import { loads, stores } from './semantics/memory.ts';
import { multiplyDivideSemantics } from './semantics/multiply-divide.ts';

/** Bytes of a decoded entry, and of entry for each byte of guest code. */
export const ENTRY_SIZE = 8;
export const ENTRY_BYTES_PER_CODE_BYTE = ENTRY_SIZE / 2;

/** Fields of an entry: operation (u16), two register offsets (u8 each), immediate (i32). */
export const Entry = { operation: 0, a: 2, b: 3, immediate: 4 } as const;

export interface EntryFields {
  readonly operation: number;
  /** Register number times 8: rd, or rs2 of stores and branches. */
  readonly a: number;
  /** Register number times 8: rs1. */
  readonly b: number;
  /**
   * The immediate; a displacement in bytes of entries for jumps within the page; rs2 times 8, rs3 times 8 and the rounding
   * mode in its bytes for instructions of several sources; CSR number and funct3 from bit 12 on.
   */
  readonly immediate: number;
}

/** funct3 of the CSR instructions (Zicsr): from bit 12 of the immediate on. */
export const CSR_KIND_SHIFT = 12;
const CSR_KINDS = ['', 'csrrw', 'csrrs', 'csrrc', '', 'csrrwi', 'csrrsi', 'csrrci'];

const WITH_IMMEDIATE: ReadonlySet<string> = new Set(
  ENCODINGS.filter(({ format }) => ['I', 'shift', 'U', 'fence'].includes(format)).map(
    ({ operation }) => operation,
  ),
);

/** Operations that do nothing but compute rd, an integer register. */
const PURE_INTEGER: ReadonlySet<string> = new Set(
  [integerSemantics, multiplyDivideSemantics, bitManipulationSemantics].flatMap(Object.keys),
);

/**
 * Makes the entry of an instruction.
 *
 * @param offset of the instruction in its page, or -1 for an entry that is in no page: all jumps leave it
 */
export function predecode(instruction: Instruction, offset: number): EntryFields {
  const { operation, rd, rs1, rs2, rs3, immediate, mode, length } = instruction;
  const a = rd * 8;
  const b = rs1 * 8;
  if (offset + length > PAGE_SIZE) {
    return { operation: CROSSING, a: 0, b: 0, immediate: 0 };
  }
  if (operation === 'illegal') {
    return { operation: ILLEGAL, a: 0, b: 0, immediate };
  }
  if (operation in branchConditions) {
    return jump(operation, length, rs2 * 8, b, immediate, offset);
  }
  if (operation in stores) {
    return { operation: requireOperation(operation, length), a: rs2 * 8, b, immediate };
  }
  const load = loads[operation];
  if (load !== undefined && !load.float && rd === 0) {
    // x0 is never written: the access is made for its faults only.
    return { operation: requireOperation('discarding_load', 4), a: load.width, b, immediate };
  }
  switch (operation) {
    case 'jal':
      return jump(rd === 0 ? 'j' : 'jal', length, a, 0, immediate, offset);
    case 'jalr':
      return { operation: requireOperation(rd === 0 ? 'jr' : 'jalr', length), a, b, immediate };
    case 'csrrw':
    case 'csrrs':
    case 'csrrc':
    case 'csrrwi':
    case 'csrrsi':
    case 'csrrci': {
      const kind = CSR_KINDS.indexOf(operation);
      return {
        operation: requireOperation('csr', 4),
        a,
        b,
        immediate: immediate | (kind << CSR_KIND_SHIFT),
      };
    }
    case 'sfence_vma':
      return { operation: requireOperation(operation, 4), a: rs2 * 8, b, immediate: 0 };
    case 'ebreak':
      return { operation: requireOperation(operation, 4), a: 0, b: 0, immediate: 0 };
  }
  const sources = operation in floatSemantics ? rs2 * 8 + rs3 * 0x800 + mode * 0x1_0000 : rs2 * 8;
  return (
    abbreviate(instruction) ?? {
      operation: requireOperation(operation, length),
      a,
      b,
      immediate: WITH_IMMEDIATE.has(operation) ? immediate : sources,
    }
  );
}

function jump(
  name: string,
  length: number,
  a: number,
  b: number,
  displacement: number,
  offset: number,
): EntryFields {
  const target = offset + displacement;
  if (offset < 0 || target < 0 || target >= PAGE_SIZE) {
    return { operation: requireOperation(`${name}_leaving`, length), a, b, immediate: displacement };
  }
  return {
    operation: requireOperation(`${name}_${displacement > 0 ? 'forward' : 'backward'}`, length),
    a,
    b,
    immediate: displacement * ENTRY_BYTES_PER_CODE_BYTE,
  };
}

/** Integer instructions that do less than they could: no result, a copy, a constant. */
function abbreviate({ operation, rd, rs1, rs2, immediate, length }: Instruction): EntryFields | undefined {
  if (!PURE_INTEGER.has(operation)) {
    return undefined;
  }
  const a = rd * 8;
  if (rd === 0) {
    return { operation: requireOperation('nop', length), a: 0, b: 0, immediate: 0 };
  }
  if (operation === 'addi' && rs1 === 0) {
    return { operation: requireOperation('li', length), a, b: 0, immediate };
  }
  if (operation === 'lui') {
    return { operation: requireOperation('li', length), a, b: 0, immediate };
  }
  if (operation === 'addi' && immediate === 0) {
    return { operation: requireOperation('mv', length), a, b: rs1 * 8, immediate: 0 };
  }
  if (operation === 'add' && rs1 === 0) {
    return { operation: requireOperation('mv', length), a, b: rs2 * 8, immediate: 0 };
  }
  return undefined;
}

/** Instructions whose entries are remembered. */
const MOST_REMEMBERED = 0x1_0000;

/** {@link predecode} of words of code, which remembers: code consists of few different instructions. */
export class Predecoder {
  /** Entries of instructions that are the same at all places, by their bits. */
  readonly #entries = new Map<number, EntryFields>();

  /**
   * @param word the bytes of code at `offset` in its page, of which there are four unless the page ends before
   */
  entry(word: number, offset: number): EntryFields {
    const isCompressed = (word & 3) !== 3;
    if (!isCompressed && offset + 4 > PAGE_SIZE) {
      return predecode(decode(word), offset);
    }
    const bits = isCompressed ? word & 0xffff : word;
    const known = this.#entries.get(bits);
    if (known !== undefined) {
      return known;
    }
    const entry = predecode(decode(word), offset);
    if (entry.operation < FIRST_JUMP || entry.operation >= FIRST_RARE) {
      if (this.#entries.size === MOST_REMEMBERED) {
        this.#entries.clear();
      }
      this.#entries.set(bits, entry);
    }
    return entry;
  }
}
