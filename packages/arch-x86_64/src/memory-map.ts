import { type AddressRange, alignUp, type BoardOptions, hex, MachineError } from '@tsvmm/arch';
import { KVM_X86_IDENTITY_MAP_ADDRESS, KVM_X86_TSS_ADDRESS, type RamRegion } from '@tsvmm/hypervisor';
import {
  ECAM_BUS_SIZE,
  ECAM_END,
  ECAM_MAXIMUM,
  ECAM_START,
  GIB_4,
  HIGH_RAM_START,
  IO_APIC,
  LOW_RAM_END,
  PCI_LOW_START,
} from './layout.ts';

const MIB_2 = 2 * 2 ** 20;
const PAGE_SIZE = 4096;
/** Linux, and so everybody, maps no more physical memory than this by default. */
const MAXIMUM_ADDRESS_BITS = 46;
/** The least RAM below the PCI hole: kernels are loaded there, initial RAM disks too by most boot protocols. */
const LOW_RAM_MINIMUM = 256 * 2 ** 20;
/** Pages of the task state segment that KVM wants. */
const TSS_PAGES = 3;
/** Most firmware, with its flash memory: from the end of PCI's addresses and the interrupt controllers to 4 GiB. */
const FIRMWARE_MAXIMUM = 16 * 2 ** 20;

/** Types of the entries of an E820 map (ACPI 6.5, table 15.4). */
export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry extends AddressRange {
  readonly type: typeof E820_RAM | typeof E820_RESERVED;
}

/** What is where in the guest-physical address space. */
export interface MemoryMap {
  /** For the hypervisor: RAM, and the firmware below 4 GiB. */
  readonly ram: readonly RamRegion[];
  /** What the guest may use as RAM, and what it must leave alone, in order of address. */
  readonly e820: readonly E820Entry[];
  /** RAM ends here below 4 GiB. */
  readonly lowRamEnd: number;
  readonly configuration: AddressRange;
  /** Addresses for 32-bit and 64-bit BARs. */
  readonly lowWindow: AddressRange;
  readonly highWindow: AddressRange;
  /** What is left between PCI's ranges and the interrupt controllers. */
  readonly spareWindow: AddressRange | undefined;
  readonly firmware: AddressRange | undefined;
  /** Flash memory with its variables, right below it. */
  readonly flash: AddressRange | undefined;
}

/**
 * Lays out the address space: RAM up to the hole that PCI has below 4 GiB, the rest from 4 GiB on, and 64-bit PCI behind it.
 *
 * @throws MachineError OVERLAP for PCI ranges that cannot be, MEMORY_TOO_SMALL for firmware that is too large,
 * NO_ADDRESS_SPACE when RAM leaves no room for PCI
 */
export function memoryMap(options: BoardOptions): MemoryMap {
  const { ramSize, addressBits } = options;
  const configuration = checkConfiguration(
    options.pci?.configuration ?? { start: ECAM_START, end: ECAM_END },
  );
  const lowWindow = lowWindowBeside(configuration, options.pci?.memory);
  const lowRamEnd = Math.min(ramSize, Math.min(lowWindow.start, configuration.start));
  const highRamEnd = GIB_4 + (ramSize - lowRamEnd);
  // crosvm has a second, virtual configuration space here, of twice the size, and so have we its addresses.
  const virtualConfiguration = alignUp(highRamEnd, MIB_2);
  const highStart = virtualConfiguration + 2 * (configuration.end - configuration.start);
  const highEnd = 2 ** Math.min(addressBits, MAXIMUM_ADDRESS_BITS);
  if (highStart >= highEnd) {
    throw new MachineError(
      'NO_ADDRESS_SPACE',
      `${ramSize / 2 ** 20} MiB of memory leave no addresses for PCI: this CPU has ${addressBits} bits of them, lower --mem`,
    );
  }
  const firmware = firmwareRange(options.firmwareSize);
  const flash = flashRange(options.flashSize, firmware);
  const spareStart = Math.max(lowWindow.end, configuration.end);

  const ram: RamRegion[] = [{ guestAddress: 0, size: lowRamEnd }];
  const e820: E820Entry[] = [
    { start: 0, end: LOW_RAM_END, type: E820_RAM },
    { start: LOW_RAM_END, end: HIGH_RAM_START, type: E820_RESERVED },
    { start: HIGH_RAM_START, end: lowRamEnd, type: E820_RAM },
    { ...configuration, type: E820_RESERVED },
    {
      start: KVM_X86_IDENTITY_MAP_ADDRESS,
      end: KVM_X86_TSS_ADDRESS + TSS_PAGES * PAGE_SIZE,
      type: E820_RESERVED,
    },
  ];
  if (firmware !== undefined) {
    ram.push({ guestAddress: firmware.start, size: firmware.end - firmware.start });
    e820.push({ ...firmware, type: E820_RESERVED });
  }
  if (flash !== undefined) e820.push({ ...flash, type: E820_RESERVED });
  if (highRamEnd > GIB_4) {
    ram.push({ guestAddress: GIB_4, size: highRamEnd - GIB_4 });
    e820.push({ start: GIB_4, end: highRamEnd, type: E820_RAM });
  }
  e820.push({ start: virtualConfiguration, end: highStart, type: E820_RESERVED });
  return {
    ram,
    e820: e820.toSorted((a, b) => a.start - b.start),
    lowRamEnd,
    configuration,
    lowWindow,
    highWindow: { start: highStart, end: highEnd },
    spareWindow: spareStart < IO_APIC ? { start: spareStart, end: IO_APIC } : undefined,
    firmware,
    flash,
  };
}

/** ECAM needs whole buses, at a multiple of their size, before the interrupt controllers. */
function checkConfiguration(range: AddressRange): AddressRange {
  const size = range.end - range.start;
  if (
    size < ECAM_BUS_SIZE ||
    size > ECAM_MAXIMUM ||
    size % ECAM_BUS_SIZE !== 0 ||
    range.start % size !== 0 ||
    range.start < LOW_RAM_MINIMUM ||
    range.end > IO_APIC
  ) {
    throw new MachineError(
      'OVERLAP',
      `PCI configuration space cannot be at ${hex(range.start)} to ${hex(range.end)}: it needs 1 to 256 MiB, whole, at a ` +
        `multiple of its size, between 256 MiB and ${hex(IO_APIC)}`,
    );
  }
  return range;
}

/** 32-bit BARs: what was asked for, or from crosvm's usual start, or the configuration space's if that is lower. */
function lowWindowBeside(configuration: AddressRange, wanted: AddressRange | undefined): AddressRange {
  if (wanted === undefined) {
    const start = Math.min(PCI_LOW_START, configuration.start);
    const end = start < configuration.start ? configuration.start : ECAM_END;
    return { start: start === configuration.start ? configuration.end : start, end };
  }
  const overlaps = wanted.start < configuration.end && configuration.start < wanted.end;
  if (overlaps || wanted.start >= wanted.end || wanted.start < LOW_RAM_MINIMUM || wanted.end > IO_APIC) {
    throw new MachineError(
      'OVERLAP',
      `PCI memory cannot be at ${hex(wanted.start)} to ${hex(wanted.end)}: it must be between 256 MiB and ${hex(IO_APIC)}, ` +
        `and not overlap configuration space at ${hex(configuration.start)} to ${hex(configuration.end)}`,
    );
  }
  return wanted;
}

/** Firmware ends at 4 GiB: the CPU's first instruction is 16 bytes before that. */
function firmwareRange(size: number | undefined): AddressRange | undefined {
  if (size === undefined) return undefined;
  const whole = alignUp(size, PAGE_SIZE);
  if (whole === 0 || whole > FIRMWARE_MAXIMUM) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `a firmware image has up to ${FIRMWARE_MAXIMUM / 2 ** 20} MiB, and this one has ${size} bytes: give a BIOS or UEFI image`,
    );
  }
  return { start: GIB_4 - whole, end: GIB_4 };
}

/** Flash memory ends where firmware begins: images of variables and code are two parts of one, as they are built. */
function flashRange(size: number | undefined, firmware: AddressRange | undefined): AddressRange | undefined {
  if (size === undefined || firmware === undefined) return undefined;
  const start = firmware.start - size;
  if (start < GIB_4 - FIRMWARE_MAXIMUM) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `firmware and flash memory have up to ${FIRMWARE_MAXIMUM / 2 ** 20} MiB together, and these have ${GIB_4 - start} bytes: give smaller images`,
    );
  }
  return { start, end: firmware.start };
}
