import type { AddressRange, BootRegisters } from '@tsvmm/arch';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { ACPI_RSDP, COMMAND_LINE, PVH_START_INFO } from '../layout.ts';
import type { E820Entry } from '../memory-map.ts';
import { protectedModeRegisters } from '../processor/registers.ts';
import { writeDescriptorTable } from '../processor/segments.ts';

// xen/include/public/arch-x86/hvm/start_info.h: struct hvm_start_info, version 1, with what it points to behind it.

const MAGIC = 0x336e_c578;
const VERSION = 1;
const MODULE_LIST = 0x40;
const MEMORY_MAP = 0x80;
const MEMORY_MAP_ENTRY_SIZE = 24;

/** Enters a kernel by its PVH entry (docs/misc/pvh.pandoc of Xen). @returns registers of the first vCPU */
export function bootPvh(
  memory: GuestMemory,
  entry: number,
  initrd: AddressRange | undefined,
  e820: readonly E820Entry[],
): BootRegisters {
  const bytes = new Uint8Array(MEMORY_MAP + e820.length * MEMORY_MAP_ENTRY_SIZE);
  const data = new DataView(bytes.buffer);
  const address = (at: number, value: number) => data.setBigUint64(at, BigInt(value), true);
  data.setUint32(0, MAGIC, true);
  data.setUint32(4, VERSION, true);
  data.setUint32(12, initrd === undefined ? 0 : 1, true);
  address(16, initrd === undefined ? 0 : PVH_START_INFO + MODULE_LIST);
  address(24, COMMAND_LINE);
  address(32, ACPI_RSDP);
  address(40, PVH_START_INFO + MEMORY_MAP);
  data.setUint32(48, e820.length, true);
  if (initrd !== undefined) {
    address(MODULE_LIST, initrd.start);
    address(MODULE_LIST + 8, initrd.end - initrd.start);
  }
  for (const [index, { start, end, type }] of e820.entries()) {
    const at = MEMORY_MAP + index * MEMORY_MAP_ENTRY_SIZE;
    address(at, start);
    address(at + 8, end - start);
    data.setUint32(at + 16, type, true);
  }
  memory.copyIn(PVH_START_INFO, bytes);
  writeDescriptorTable(memory, false);
  return protectedModeRegisters(entry, { rbx: BigInt(PVH_START_INFO) });
}
