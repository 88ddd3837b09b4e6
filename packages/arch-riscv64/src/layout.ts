import { type AddressRange, alignUp, MachineError } from '@tsvmm/arch';

/**
 * Guest-physical addresses of the riscv64 board. They are crosvm's, with wired interrupts added: crosvm's serial ports
 * are polled and its APLIC has no sources.
 */

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Start of RAM; everything that is not RAM lies below, but for the high PCI window. */
export const RAM_START = 0x8000_0000;

/** The kernel goes to the first address that is aligned as the boot protocol wants it, after 2 MiB left to firmware. */
export const KERNEL_OFFSET = 2 * MIB;

/** 16550A UARTs, 8 bytes each, at the port numbers a PC has. */
export const SERIAL_ADDRESSES = [0x3f8, 0x2f8, 0x3e8, 0x2e8] as const;

/** Supervisor domain of the APLIC. */
export const APLIC_ADDRESS = 0x4000;
/** Wired sources: four serial ports, then the four PCI interrupt pins. */
export const APLIC_SOURCES = 8;
export const SERIAL_SOURCES = [1, 2, 3, 4] as const;
export const PCI_PIN_SOURCES = [5, 6, 7, 8] as const;

/** PCI configuration space, by the CAM layout: 256 buses of 32 devices of 8 functions of 256 bytes. */
export const PCI_CAM_ADDRESS = 0x1_0000;
export const PCI_CAM_SIZE = 16 * MIB;

/** 32-bit window of the PCI host bridge. */
export const PCI_LOW_WINDOW: AddressRange = { start: 0x300_0000, end: 0x310_0000 };

/** S-mode interrupt files, one page a hart. */
export const IMSIC_ADDRESS = 0x0800_0000;
/** Identities of each interrupt file: a multiple of 64, minus 1 (AIA 1.0, section 3.1). */
export const IMSIC_IDENTITIES = 255;

/** Longest kernel command line, without its NUL. */
export const COMMAND_LINE_MAXIMUM = 1023;

/** Alignment of the device tree, which comes after kernel and initrd. */
export const FDT_ALIGNMENT = 4 * MIB;
/** Most bytes of the device tree. */
export const FDT_MAXIMUM = 2 * MIB;
/** Linux keeps the rest of the kernel's last 2 MiB page to itself. */
export const INITRD_ALIGNMENT = 2 * MIB;

/** Addresses for 64-bit BARs, where there are as many. */
const PCI_HIGH_WINDOW_SIZE = 64 * GIB;

/**
 * 64-bit window of the PCI host bridge: after RAM, from a boundary that suits large BARs.
 *
 * @param addressBits of a guest-physical address
 * @throws MachineError NO_ADDRESS_SPACE when RAM leaves nothing
 */
export function pciHighWindow(ramSize: number, addressBits: number): AddressRange {
  const start = alignUp(RAM_START + ramSize, GIB);
  const end = Math.min(start + PCI_HIGH_WINDOW_SIZE, 2 ** addressBits);
  if (start >= end) {
    throw new MachineError(
      'NO_ADDRESS_SPACE',
      `${ramSize / MIB} MiB of memory leave no addresses for PCI: guests have ${addressBits} bits of address here, so lower --mem`,
    );
  }
  return { start, end };
}
