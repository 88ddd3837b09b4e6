import type { BootRegisters } from '@tsvmm/arch';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { BOOT_GDT, BOOT_IDT } from '../layout.ts';

/** Selectors that Linux wants to be entered with: __BOOT_CS and __BOOT_DS. */
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TASK_SELECTOR = 0x20;
const TASK_LIMIT = 0x67;

/** Types of segments (Intel SDM 3A, tables 3-1 and 3-2). */
const TYPE_CODE = 0xb;
const TYPE_DATA = 0x3;
const TYPE_BUSY_TASK = 0xb;

/** What a segment register holds, base always 0. */
interface Segment {
  readonly name: string;
  readonly selector: number;
  readonly type: number;
  /** In bytes, less 1. */
  readonly limit: number;
  readonly isSystem?: boolean;
  readonly is64Bit?: boolean;
}

const code = (is64Bit: boolean): Segment => ({
  name: 'cs',
  selector: CODE_SELECTOR,
  type: TYPE_CODE,
  limit: 0xffff_ffff,
  is64Bit,
});
const DATA: readonly Segment[] = ['ds', 'es', 'fs', 'gs', 'ss'].map((name) => ({
  name,
  selector: DATA_SELECTOR,
  type: TYPE_DATA,
  limit: 0xffff_ffff,
}));
const TASK: Segment = {
  name: 'tr',
  selector: TASK_SELECTOR,
  type: TYPE_BUSY_TASK,
  limit: TASK_LIMIT,
  isSystem: true,
};

/** Writes the descriptor table that {@link segmentRegisters} point to: Linux reloads none of them at once. */
export function writeDescriptorTable(memory: GuestMemory, is64Bit: boolean): void {
  const table = [0n, 0n, descriptor(code(is64Bit)), ...DATA.slice(0, 1).map(descriptor), descriptor(TASK)];
  memory.copyIn(BOOT_GDT, new Uint8Array(BigUint64Array.from(table).buffer));
  memory.fill(BOOT_IDT, 8, 0);
}

/** Flat segments over all of memory, for protected or for long mode. */
export function segmentRegisters(is64Bit: boolean): BootRegisters {
  const registers: Record<string, bigint> = {
    'gdtr.base': BigInt(BOOT_GDT),
    'gdtr.limit': 5n * 8n - 1n,
    'idtr.base': BigInt(BOOT_IDT),
    'idtr.limit': 7n,
  };
  for (const segment of [code(is64Bit), ...DATA, TASK]) {
    const { name, selector, type, limit } = segment;
    Object.assign(registers, {
      [name]: BigInt(selector),
      [`${name}.base`]: 0n,
      [`${name}.limit`]: BigInt(limit),
      [`${name}.type`]: BigInt(type),
      [`${name}.present`]: 1n,
      [`${name}.dpl`]: 0n,
      [`${name}.db`]: flag(isBig(segment)),
      [`${name}.s`]: flag(!segment.isSystem),
      [`${name}.l`]: flag(segment.is64Bit),
      [`${name}.g`]: flag(isInPages(segment)),
      [`${name}.unusable`]: 0n,
    });
  }
  return registers;
}

const flag = (value: boolean | undefined) => (value === true ? 1n : 0n);
const isBig = ({ isSystem, is64Bit }: Segment) => isSystem !== true && is64Bit !== true;
const isInPages = ({ limit }: Segment) => limit > 0xf_ffff;

/** A segment descriptor (Intel SDM 3A, figure 3-8) with base 0. */
function descriptor(segment: Segment): bigint {
  const limit = BigInt(isInPages(segment) ? segment.limit >>> 12 : segment.limit);
  const present = 1n << 47n;
  return (
    (limit & 0xffffn) |
    (BigInt(segment.type) << 40n) |
    (flag(!segment.isSystem) << 44n) |
    present |
    ((limit >> 16n) << 48n) |
    (flag(segment.is64Bit) << 53n) |
    (flag(isBig(segment)) << 54n) |
    (flag(isInPages(segment)) << 55n)
  );
}
