import type { AddressRange, BootRegisters } from '@tsvmm/arch';
import { BOOT_STACK_POINTER, PML4 } from '../layout.ts';
import { memoryTypeRegisters } from './memory-types.ts';
import { segmentRegisters } from './segments.ts';

const CR0_PE = 1n << 0n;
const CR0_ET = 1n << 4n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
/** Bit 1 of RFLAGS is always 1; interrupts are off. */
const RFLAGS = 2n;
/** IA32_MISC_ENABLE: fast-string operation. */
const FAST_STRINGS = 1n;
/** Delivery modes of a local interrupt (Intel SDM 3A, 11.5.1). */
const LVT_NMI = 4n << 8n;
const LVT_EXTINT = 7n << 8n;

/**
 * What every vCPU comes up with, also those that the guest starts itself: memory types as firmware would have set them, and
 * local interrupts in virtual wire mode (MultiProcessor Specification 1.4, 3.6.2.2).
 *
 * @param devices addresses below 4 GiB that are not memory
 */
export function commonRegisters(devices: AddressRange, addressBits: number): BootRegisters {
  return {
    IA32_MISC_ENABLE: FAST_STRINGS,
    ...memoryTypeRegisters(devices, addressBits),
    'apic.lvt_lint0': LVT_EXTINT,
    'apic.lvt_lint1': LVT_NMI,
  };
}

/** Long mode with flat segments, and the first 4 GiB mapped as they are. */
export function longModeRegisters(entry: number, registers: BootRegisters): BootRegisters {
  return {
    ...segmentRegisters(true),
    cr0: CR0_PE | CR0_ET | CR0_PG,
    cr3: BigInt(PML4),
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    rflags: RFLAGS,
    rip: BigInt(entry),
    rsp: BigInt(BOOT_STACK_POINTER),
    ...registers,
  };
}

/** Protected mode with flat segments, without paging. */
export function protectedModeRegisters(entry: number, registers: BootRegisters): BootRegisters {
  return {
    ...segmentRegisters(false),
    cr0: CR0_PE | CR0_ET,
    rflags: RFLAGS,
    rip: BigInt(entry),
    rsp: BigInt(BOOT_STACK_POINTER),
    ...registers,
  };
}
