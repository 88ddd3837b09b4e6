/** Guest-physical addresses and I/O ports of the x86_64 board. They are crosvm's. */

const KIB = 2 ** 10;
const MIB = 2 ** 20;
export const GIB_4 = 2 ** 32;

/** Conventional memory ends here; up to 1 MiB RAM is there, but reserved for firmware and what looks for its tables. */
export const LOW_RAM_END = 640 * KIB;
export const HIGH_RAM_START = MIB;

/** Global and interrupt descriptor tables that the kernel is entered with. */
export const BOOT_GDT = 0x1500;
export const BOOT_IDT = 0x1528;
/** `hvm_start_info` of the PVH boot protocol, with its list of modules and its memory map. */
export const PVH_START_INFO = 0x6000;
/** Multiboot information, up to {@link BOOT_PARAMS}. */
export const MULTIBOOT_INFO = 0x6000;
/** Linux's `boot_params`, also called the zero page. */
export const BOOT_PARAMS = 0x7000;
/** The stack grows down from here, over the end of {@link BOOT_PARAMS}' page, which nothing uses. */
export const BOOT_STACK_POINTER = 0x8000;
/** Page tables that map the first 4 GiB as they are: one PML4, one table of 1 GiB entries, four of 2 MiB pages. */
export const PML4 = 0x9000;
export const PAGE_DIRECTORY_POINTERS = 0xa000;
export const PAGE_DIRECTORIES = 0xb000;

/** The kernel's command line. */
export const COMMAND_LINE = 0x2_0000;
/** Most bytes of it, with its NUL. */
export const COMMAND_LINE_MAXIMUM = 0x800;
/** Linked list of `setup_data`, up to {@link MP_TABLE}. */
export const SETUP_DATA = COMMAND_LINE + COMMAND_LINE_MAXIMUM;
/** MultiProcessor table, up to the floating pointer that leads to it in the last 16 bytes of conventional memory. */
export const MP_TABLE = 634 * KIB;
export const MP_FLOATING_POINTER = LOW_RAM_END - 16;
/** The ACPI root pointer, with the other tables behind it. */
export const ACPI_RSDP = 0xe_0000;
/** The SMBIOS entry point, with the structures behind it. */
export const SMBIOS_ENTRY_POINT = 0xf_0000;
/** The kernel, unless it says where it wants to be. */
export const KERNEL_START = 2 * MIB;

/** 32-bit addresses for PCI, up to {@link ECAM_END}, unless `--pci` says otherwise. */
export const PCI_LOW_START = GIB_4 - 768 * MIB;
/** PCI configuration space by the ECAM layout: 64 buses. */
export const ECAM_START = 0xf400_0000;
export const ECAM_END = 0xf800_0000;
/** Most configuration space there can be: 256 buses, of 1 MiB each. */
export const ECAM_MAXIMUM = 256 * MIB;
export const ECAM_BUS_SIZE = MIB;

export const IO_APIC = 0xfec0_0000;
export const LOCAL_APIC = 0xfee0_0000;
/** PCI configuration mechanism 1, and the reset control register among its ports. */
export const PCI_PORTS = 0xcf8;
export const RESET_PORT = 0xcf9;

/** 16550A UARTs with their interrupts, COM1 to COM4. */
export const SERIAL_PORTS = [
  { address: 0x3f8, source: 4 },
  { address: 0x2f8, source: 3 },
  { address: 0x3e8, source: 4 },
  { address: 0x2e8, source: 3 },
] as const;
export const TIMER_SOURCE = 0;
export const RTC_SOURCE = 8;
/** The interrupt of ACPI events (SCI). */
export const SCI_SOURCE = 5;
/** What the interrupt pins of PCI functions share. */
export const PCI_PIN_SOURCES = [9, 10, 11, 12] as const;
/** Root ports of PCI Express, with a slot each. */
export const PCI_ROOT_PORTS = 1;
/** ACPI's power management registers: the first of the ports for devices without a fixed place. */
export const POWER_MANAGEMENT_PORT = 0xc000;
/** Most vCPUs: APIC ids have 8 bits, and 255 means all of them. */
export const MAXIMUM_VCPUS = 254;
/** Flash memory is one chip of 8 bits with blocks of 4 KiB, unless `--pflash` says otherwise. */
export const FLASH_CHIPS = { blockSize: 4 * KIB, bankWidth: 1 } as const;
