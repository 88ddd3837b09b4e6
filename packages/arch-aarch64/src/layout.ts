import { type AddressRange, MachineError, type PciPlacement, type SerialPlacement } from '@tsvmm/arch';
import type { PflashOptions, PrimeCellRtcPart } from '@tsvmm/devices';

/** Guest-physical addresses of the aarch64 board, and its interrupts. */

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Distributor, of either version of the GIC. */
export const GIC_DISTRIBUTOR_SIZE = 64 * KIB;
/** Redistributor of version 3, one for each vCPU. */
export const GIC_REDISTRIBUTOR_SIZE = 128 * KIB;
/** Interrupt translation service. */
export const GIC_ITS_SIZE = 128 * KIB;

/** Real-time clock. */
export const RTC_SIZE = 4 * KIB;
export const RTC_SOURCE = 1;

/** What is where. */
export interface AddressMap {
  readonly ramStart: number;
  /** Where firmware is, and the CPU comes out of reset, and how much room it has there; a kernel needs no such place. */
  readonly firmware?: AddressRange;
  /** Where firmware looks for the flash memory with its variables, and how much can be there. */
  readonly flash?: AddressRange;
  /** EDK2 does not start where there is none. */
  readonly fwCfgAddress?: number;
  readonly serialPorts: readonly SerialPlacement[];
  readonly rtc: { readonly part: PrimeCellRtcPart; readonly address: number };
  readonly gic: {
    readonly distributorAddress: number;
    /** Of the redistributors together. */
    readonly redistributorAddress: (vcpuCount: number) => number;
    /** CPU interface of version 2. */
    readonly cpuInterface: { readonly address: number; readonly size: number };
    readonly itsAddress: number;
  };
  readonly pciConfiguration: PciPlacement['configuration'];
  /** 32-bit window of the PCI host bridge. */
  readonly pciLowWindow: AddressRange;
  /** Where its 64-bit window starts at the earliest. */
  readonly pciHighStart: number;
}

/**
 * For a kernel, which is told of everything: crosvm's map. Devices are below RAM; MMIO that is allocated, and 64-bit
 * BARs, are above its end. The UARTs are 16550As at the port numbers a PC has; as there, each line is shared by two.
 */
export const KERNEL_MAP: AddressMap = {
  ramStart: 0x8000_0000,
  serialPorts: [
    { kind: 'uart16550', space: 'mmio', address: 0x3f8, source: 0 },
    { kind: 'uart16550', space: 'mmio', address: 0x2f8, source: 2 },
    { kind: 'uart16550', space: 'mmio', address: 0x3e8, source: 0 },
    { kind: 'uart16550', space: 'mmio', address: 0x2e8, source: 2 },
  ],
  rtc: { part: 'pl030', address: 0x2000 },
  gic: {
    distributorAddress: 0x3fff_0000,
    // Right below the distributor.
    redistributorAddress: (vcpuCount) => 0x3fff_0000 - vcpuCount * GIC_REDISTRIBUTOR_SIZE,
    cpuInterface: { address: 0x3ffd_0000, size: 128 * KIB },
    itsAddress: 0x4000_0000,
  },
  // 256 buses of 32 devices of 8 functions of 256 bytes.
  pciConfiguration: { kind: 'cam', address: 0x1_0000, size: 16 * MIB },
  pciLowWindow: { start: 0x200_0000, end: 0x400_0000 },
  pciHighStart: 0,
};

/**
 * For firmware, which has addresses compiled in: those of QEMU's `virt` machine, for which Debian and others build U-Boot.
 * It expects a PL011, RAM from 1 GiB on with the device tree at its start, and itself at address 0.
 */
export const FIRMWARE_MAP: AddressMap = {
  ramStart: 0x4000_0000,
  firmware: { start: 0, end: 64 * MIB },
  flash: { start: 64 * MIB, end: 128 * MIB },
  serialPorts: [{ kind: 'pl011', space: 'mmio', address: 0x900_0000, source: 0 }],
  rtc: { part: 'pl031', address: 0x901_0000 },
  fwCfgAddress: 0x902_0000,
  gic: {
    distributorAddress: 0x800_0000,
    redistributorAddress: () => 0x80a_0000,
    cpuInterface: { address: 0x801_0000, size: 64 * KIB },
    itsAddress: 0x808_0000,
  },
  // 16 buses of 32 devices of 8 functions of 4 KiB.
  pciConfiguration: { kind: 'ecam', address: 0x3f00_0000, size: 16 * MIB },
  pciLowWindow: { start: 0x1000_0000, end: 0x3eff_0000 },
  // Below that, firmware takes addresses for memory that may be cached.
  pciHighStart: 512 * GIB,
};

/** Shared peripheral interrupts, of which the first are the board's own and the others PCI functions'. */
export const SPI_COUNT = 32;
/** One SPI for each of the 28 functions that can have one to themselves. */
export const PCI_PIN_SOURCES = Array.from({ length: SPI_COUNT - 4 }, (_, index) => 4 + index);

/** Private peripheral interrupts (Arm BSA, section 3.8): EL3, EL1, virtual and EL2 timers, then the virtual EL2 one. */
export const TIMER_PPIS = [13, 14, 11, 10] as const;
export const VIRTUAL_EL2_TIMER_PPI = 12;
/** The GIC tells a hypervisor of its guests' interrupts by it. */
export const GIC_MAINTENANCE_PPI = 9;

/** Longest kernel command line, without its NUL: COMMAND_LINE_SIZE of Linux on arm64. */
export const COMMAND_LINE_MAXIMUM = 2047;

/** Most bytes of the device tree, and its alignment: Linux maps it in one block of 2 MiB. */
export const FDT_MAXIMUM = 2 * MIB;
export const FDT_ALIGNMENT = 2 * MIB;
/** The same before firmware, whose first stack ends 2 MiB behind the start of RAM. */
export const FIRMWARE_FDT_MAXIMUM = MIB;
/** Memory in the place of flash memory, where there is no file to keep it in: as much as one block. */
export const VARIABLES_SIZE = 256 * KIB;
/** Flash memory: two chips of 16 bits with blocks of 128 KiB each. */
export const FLASH_CHIPS: PflashOptions = { blockSize: 256 * KIB, bankWidth: 4 };
/** Firmware is given whole pages of every size a host may have. */
export const FIRMWARE_PAGE = 64 * KIB;
export const INITRD_ALIGNMENT = 16 * MIB;

/** Addresses behind RAM that platform devices are given while the machine runs. */
export const PLATFORM_MMIO_SIZE = GIB;

/**
 * 64-bit window of the PCI host bridge: from behind the platform devices' addresses to the end of the address space.
 *
 * @param addressBits of a guest-physical address
 * @throws MachineError NO_ADDRESS_SPACE when RAM leaves nothing
 */
export function pciHighWindow(map: AddressMap, ramSize: number, addressBits: number): AddressRange {
  const start = Math.max(map.ramStart + ramSize + PLATFORM_MMIO_SIZE, map.pciHighStart);
  const end = 2 ** addressBits;
  if (start >= end) {
    throw new MachineError(
      'NO_ADDRESS_SPACE',
      `${ramSize / MIB} MiB of memory leave no addresses for PCI: guests have ${addressBits} bits of address here, so lower --mem`,
    );
  }
  return { start, end };
}
