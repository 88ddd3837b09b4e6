import { type AddressRange, MachineError } from '@tsvmm/arch';

/** Guest-physical addresses of the aarch64 board, and its interrupts. They are crosvm's. */

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Start of RAM. Devices are below it; MMIO that is allocated, and 64-bit BARs, are above its end. */
export const RAM_START = 0x8000_0000;

/** 16550A UARTs, 8 bytes each, at the port numbers a PC has; as there, each line is shared by two. */
export const SERIAL_ADDRESSES = [0x3f8, 0x2f8, 0x3e8, 0x2e8] as const;
export const SERIAL_SIZE = 8;
export const SERIAL_SOURCES = [0, 2, 0, 2] as const;

/** PL030 real-time clock. */
export const RTC_ADDRESS = 0x2000;
export const RTC_SIZE = 4 * KIB;
export const RTC_SOURCE = 1;

/** PCI configuration space, by the CAM layout: 256 buses of 32 devices of 8 functions of 256 bytes. */
export const PCI_CAM_ADDRESS = 0x1_0000;
export const PCI_CAM_SIZE = 16 * MIB;

/** 32-bit window of the PCI host bridge. */
export const PCI_LOW_WINDOW: AddressRange = { start: 0x200_0000, end: 0x400_0000 };

/** Distributor, of either version of the GIC. Version 3 has the redistributors right below it, 128 KiB a vCPU. */
export const GIC_DISTRIBUTOR_ADDRESS = 0x3fff_0000;
export const GIC_DISTRIBUTOR_SIZE = 64 * KIB;
export const GIC_REDISTRIBUTOR_SIZE = 128 * KIB;
/** CPU interface of version 2. */
export const GIC_CPU_INTERFACE_ADDRESS = 0x3ffd_0000;
export const GIC_CPU_INTERFACE_SIZE = 128 * KIB;
/** Interrupt translation service. */
export const GIC_ITS_ADDRESS = 0x4000_0000;
export const GIC_ITS_SIZE = 128 * KIB;

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
export const INITRD_ALIGNMENT = 16 * MIB;

/** Addresses behind RAM that platform devices are given while the machine runs. */
export const PLATFORM_MMIO_SIZE = GIB;

/**
 * 64-bit window of the PCI host bridge: from behind the platform devices' addresses to the end of the address space.
 *
 * @param addressBits of a guest-physical address
 * @throws MachineError NO_ADDRESS_SPACE when RAM leaves nothing
 */
export function pciHighWindow(ramSize: number, addressBits: number): AddressRange {
  const start = RAM_START + ramSize + PLATFORM_MMIO_SIZE;
  const end = 2 ** addressBits;
  if (start >= end) {
    throw new MachineError(
      'NO_ADDRESS_SPACE',
      `${ramSize / MIB} MiB of memory leave no addresses for PCI: guests have ${addressBits} bits of address here, so lower --mem`,
    );
  }
  return { start, end };
}
