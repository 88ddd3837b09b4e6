import type { AddressRange, BootRegisters } from '@tsvmm/arch';
import type { LinuxSetup } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { ACPI_RSDP, BOOT_PARAMS, COMMAND_LINE, SETUP_DATA } from '../layout.ts';
import type { E820Entry } from '../memory-map.ts';
import { writePageTables } from '../processor/page-tables.ts';
import { longModeRegisters, protectedModeRegisters } from '../processor/registers.ts';
import { writeDescriptorTable } from '../processor/segments.ts';

// Documentation/arch/x86/boot.rst and zero-page.rst: struct boot_params.

const BOOT_PARAMS_SIZE = 4096;
const EXT_RAMDISK_IMAGE = 0xc0;
const EXT_RAMDISK_SIZE = 0xc4;
const ACPI_RSDP_ADDR = 0x70;
const E820_ENTRIES = 0x1e8;
const SETUP_HEADER = 0x1f1;
const BOOT_FLAG = 0x1fe;
const HEADER_MAGIC = 0x202;
const VERSION = 0x206;
const TYPE_OF_LOADER = 0x210;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const CMD_LINE_PTR = 0x228;
const KERNEL_ALIGNMENT = 0x230;
const SETUP_DATA_POINTER = 0x250;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;

/** "Undefined": not one of the loaders that have a number. */
const LOADER_TYPE = 0xff;
const HDRS = 0x5372_6448;
const KERNEL_ALIGNMENT_DEFAULT = 16 * 2 ** 20;

/** Types of setup_data. */
const SETUP_RNG_SEED = 9;
const RNG_SEED_SIZE = 256;
const SETUP_DATA_HEADER = 16;

/** What an ELF kernel, which has no setup header, is taken to have. */
export const ELF_SETUP: LinuxSetup = {
  header: elfHeader(),
  is64Bit: true,
  commandLineMaximum: 2047,
  initrdAddressMaximum: 0x37ff_ffff,
};

export interface LinuxBoot {
  readonly entry: number;
  readonly setup: LinuxSetup;
  readonly initrd: AddressRange | undefined;
  readonly e820: readonly E820Entry[];
}

/**
 * Writes `boot_params`, the random seed and the tables that the kernel is entered with.
 *
 * @returns registers of the first vCPU
 */
export function bootLinux(memory: GuestMemory, boot: LinuxBoot): BootRegisters {
  const { entry, setup, initrd, e820 } = boot;
  const bytes = new Uint8Array(BOOT_PARAMS_SIZE);
  const data = new DataView(bytes.buffer);
  bytes.set(setup.header, SETUP_HEADER);
  data.setUint8(TYPE_OF_LOADER, LOADER_TYPE);
  data.setUint32(CMD_LINE_PTR, COMMAND_LINE, true);
  data.setBigUint64(ACPI_RSDP_ADDR, BigInt(ACPI_RSDP), true);
  if (initrd !== undefined) {
    setSplit(data, RAMDISK_IMAGE, EXT_RAMDISK_IMAGE, initrd.start);
    setSplit(data, RAMDISK_SIZE, EXT_RAMDISK_SIZE, initrd.end - initrd.start);
  }
  data.setUint8(E820_ENTRIES, e820.length);
  for (const [index, { start, end, type }] of e820.entries()) {
    const at = E820_TABLE + index * E820_ENTRY_SIZE;
    data.setBigUint64(at, BigInt(start), true);
    data.setBigUint64(at + 8, BigInt(end - start), true);
    data.setUint32(at + 16, type, true);
  }
  data.setBigUint64(SETUP_DATA_POINTER, BigInt(writeRandomSeed(memory)), true);
  memory.copyIn(BOOT_PARAMS, bytes);
  writeDescriptorTable(memory, setup.is64Bit);
  const registers = { rsi: BigInt(BOOT_PARAMS) };
  if (!setup.is64Bit) return protectedModeRegisters(entry, registers);
  writePageTables(memory);
  return longModeRegisters(entry, registers);
}

/** SETUP_RNG_SEED: the kernel's random numbers are good before it has found a device for them. @returns its address */
function writeRandomSeed(memory: GuestMemory): number {
  const bytes = new Uint8Array(SETUP_DATA_HEADER + RNG_SEED_SIZE);
  const data = new DataView(bytes.buffer);
  data.setUint32(8, SETUP_RNG_SEED, true);
  data.setUint32(12, RNG_SEED_SIZE, true);
  crypto.getRandomValues(bytes.subarray(SETUP_DATA_HEADER));
  memory.copyIn(SETUP_DATA, bytes);
  return SETUP_DATA;
}

/** Bits 31:0 in one field, 63:32 in another. */
function setSplit(data: DataView, low: number, high: number, value: number): void {
  data.setUint32(low, value % 2 ** 32, true);
  data.setUint32(high, Math.floor(value / 2 ** 32), true);
}

function elfHeader(): Uint8Array {
  const header = new Uint8Array(SETUP_DATA_POINTER - SETUP_HEADER);
  const data = new DataView(header.buffer);
  data.setUint16(BOOT_FLAG - SETUP_HEADER, 0xaa55, true);
  data.setUint32(HEADER_MAGIC - SETUP_HEADER, HDRS, true);
  data.setUint16(VERSION - SETUP_HEADER, 0x020f, true);
  data.setUint32(KERNEL_ALIGNMENT - SETUP_HEADER, KERNEL_ALIGNMENT_DEFAULT, true);
  return header;
}
