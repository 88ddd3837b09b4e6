import type { AddressRange, BootRegisters } from '@tsvmm/arch';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { COMMAND_LINE, HIGH_RAM_START, LOW_RAM_END, MULTIBOOT_INFO } from '../layout.ts';
import type { MemoryMap } from '../memory-map.ts';
import { protectedModeRegisters } from '../processor/registers.ts';
import { writeDescriptorTable } from '../processor/segments.ts';

// Multiboot Specification 0.6.96, sections 3.2 and 3.3: the information structure, with what it points to behind it.

const BOOTLOADER_MAGIC = 0x2bad_b002n;
const HAS_MEMORY = 1 << 0;
const HAS_COMMAND_LINE = 1 << 2;
const HAS_MODULES = 1 << 3;
const HAS_MEMORY_MAP = 1 << 6;
const HAS_LOADER_NAME = 1 << 9;
const MODULE_LIST = 0x80;
const LOADER_NAME = 0x90;
const MEMORY_MAP = 0xa0;
const MEMORY_MAP_ENTRY_SIZE = 24;

/** Enters a kernel as Multiboot says; an initial RAM disk is its only module. @returns registers of the first vCPU */
export function bootMultiboot(
  memory: GuestMemory,
  entry: number,
  initrd: AddressRange | undefined,
  { e820, lowRamEnd }: MemoryMap,
): BootRegisters {
  const bytes = new Uint8Array(MEMORY_MAP + e820.length * MEMORY_MAP_ENTRY_SIZE);
  const data = new DataView(bytes.buffer);
  const word = (at: number, value: number) => data.setUint32(at, value, true);
  word(
    0,
    HAS_MEMORY |
      HAS_COMMAND_LINE |
      HAS_MEMORY_MAP |
      HAS_LOADER_NAME |
      (initrd === undefined ? 0 : HAS_MODULES),
  );
  // In KiB: below 1 MiB, and from there to the first hole.
  word(4, LOW_RAM_END / 1024);
  word(8, (lowRamEnd - HIGH_RAM_START) / 1024);
  word(16, COMMAND_LINE);
  if (initrd !== undefined) {
    word(20, 1);
    word(24, MULTIBOOT_INFO + MODULE_LIST);
    word(MODULE_LIST, initrd.start);
    word(MODULE_LIST + 4, initrd.end);
  }
  word(44, e820.length * MEMORY_MAP_ENTRY_SIZE);
  word(48, MULTIBOOT_INFO + MEMORY_MAP);
  word(64, MULTIBOOT_INFO + LOADER_NAME);
  new TextEncoder().encodeInto('tsvmm\0', bytes.subarray(LOADER_NAME));
  for (const [index, { start, end, type }] of e820.entries()) {
    const at = MEMORY_MAP + index * MEMORY_MAP_ENTRY_SIZE;
    // The size of the entry, without this field.
    word(at, MEMORY_MAP_ENTRY_SIZE - 4);
    data.setBigUint64(at + 4, BigInt(start), true);
    data.setBigUint64(at + 12, BigInt(end - start), true);
    word(at + 20, type);
  }
  memory.copyIn(MULTIBOOT_INFO, bytes);
  writeDescriptorTable(memory, false);
  return protectedModeRegisters(entry, { rax: BOOTLOADER_MAGIC, rbx: BigInt(MULTIBOOT_INFO) });
}
