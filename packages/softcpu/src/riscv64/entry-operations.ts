import { atomics } from './semantics/atomic.ts';
import { bitManipulationSemantics } from './semantics/bit-manipulation.ts';
import { floatSemantics } from './semantics/float.ts';
import { branchConditions, integerSemantics } from './semantics/integer.ts';
import { loads, stores } from './semantics/memory.ts';
import { multiplyDivideSemantics } from './semantics/multiply-divide.ts';

/**
 * The operations of decoded entries and their numbers. The common ones are cases of the interpreter's main function, and
 * appear once for each length of encoding that they have; the rare ones are in functions of their own.
 */
export interface CommonOperation {
  readonly name: string;
  /** Bytes of the encoding; 0 for what is no instruction. */
  readonly length: 0 | 2 | 4;
}

/** Where a jump leads, seen from its page. */
export const DIRECTIONS = ['forward', 'backward', 'leaving'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Operations that compressed instructions stand for. */
const COMPRESSIBLE = new Set([
  ...[
    'addi',
    'addiw',
    'lui',
    'slli',
    'srli',
    'srai',
    'andi',
    'sub',
    'xor',
    'or',
    'and',
    'subw',
    'addw',
    'add',
  ],
  ...['lw', 'ld', 'fld', 'sw', 'sd', 'fsd', 'beq', 'bne', 'j', 'jr', 'jalr', 'mv', 'li', 'nop'],
]);

/** Of the M extension: division takes so long that a call more does not show. */
export const COMMON_MULTIPLICATIONS = ['mul', 'mulw', 'mulhu'];

/** Base instructions in forms that need fewer operands. */
export const ABBREVIATIONS = ['nop', 'mv', 'li'] as const;

const commonNames = [
  ...ABBREVIATIONS,
  ...Object.keys(integerSemantics),
  ...COMMON_MULTIPLICATIONS,
  ...Object.keys(loads),
  ...Object.keys(stores),
  'jalr',
  'jr',
];

/** Jumps to a fixed distance; each is three operations, one for each direction. */
const jumpNames = [...Object.keys(branchConditions), 'jal', 'j'];

/** Not instructions: an entry that is still to be decoded (number 0), and what leads from page to page and tier to tier. */
const SPECIAL = ['decode', 'page_end', 'crossing', 'region', 'illegal'] as const;

const withLengths = (name: string): CommonOperation[] =>
  COMPRESSIBLE.has(name) ? ([4, 2] as const).map((length) => ({ name, length })) : [{ name, length: 4 }];

const jumps = jumpNames.flatMap(withLengths);

/** Number of jumps of one direction. Jumps have the last numbers of the common operations, those that leave the page last. */
export const JUMPS_PER_DIRECTION = jumps.length;

export const commonOperations: readonly CommonOperation[] = [
  ...SPECIAL.map((name) => ({ name, length: 0 as const })),
  ...commonNames.flatMap(withLengths),
  ...DIRECTIONS.flatMap((direction) =>
    jumps.map(({ name, length }) => ({ name: `${name}_${direction}`, length })),
  ),
];

/** Integer instructions that are rare. */
export const rareIntegerOperations: readonly string[] = [
  ...Object.keys(multiplyDivideSemantics).filter((name) => !COMMON_MULTIPLICATIONS.includes(name)),
  ...Object.keys(bitManipulationSemantics),
];

export const reservationOperations = ['lr_w', 'lr_d', 'sc_w', 'sc_d'] as const;

export const cacheBlockOperations = ['cbo_inval', 'cbo_clean', 'cbo_flush', 'cbo_zero'] as const;

/** What one of the functions for rare operations handles, in the order of the numbers. */
export const rareGroups = {
  integer: rareIntegerOperations,
  atomic: [...Object.keys(atomics), ...reservationOperations],
  float: Object.keys(floatSemantics),
  system: [
    ...['csr', 'fence', 'fence_i', 'ecall', 'ebreak', 'sret', 'wfi', 'sfence_vma', 'discarding_load'],
    ...cacheBlockOperations,
  ],
} as const;

export type RareGroup = keyof typeof rareGroups;

export const FIRST_RARE = commonOperations.length;
export const FIRST_JUMP = FIRST_RARE - DIRECTIONS.length * JUMPS_PER_DIRECTION;

/** By length of encoding, then by name. */
const numbers = new Map<number, Map<string, number>>([0, 2, 4].map((length) => [length, new Map()]));
for (const [number, { name, length }] of commonOperations.entries()) {
  numbers.get(length)?.set(name, number);
}
for (const [index, name] of Object.values(rareGroups).flat().entries()) {
  numbers.get(4)?.set(name, FIRST_RARE + index);
}

/**
 * Number of an operation, or undefined if there is none of this length.
 *
 * @param length 0 for what is no instruction; 4 for all rare operations
 */
export function operationNumber(name: string, length: number): number | undefined {
  return numbers.get(length)?.get(name);
}

/** The operation's number, which must exist. */
export function requireOperation(name: string, length: number): number {
  const number = operationNumber(name, length);
  if (number === undefined) {
    throw new RangeError(`no operation ${name} of ${length} bytes`);
  }
  return number;
}

/** Number of the first operation of a group, whose numbers are consecutive. */
export function firstOfGroup(group: RareGroup): number {
  return requireOperation(rareGroups[group][0] ?? '', 4);
}

export const DECODE = requireOperation('decode', 0);
export const PAGE_END = requireOperation('page_end', 0);
export const CROSSING = requireOperation('crossing', 0);
export const REGION = requireOperation('region', 0);
export const ILLEGAL = requireOperation('illegal', 0);
