import type { BusEntry, DeviceEnvironment, FwCfgFile, PflashOptions } from '@tsvmm/devices';
import type { Architecture, Platform, VmOptions } from '@tsvmm/hypervisor';
import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import type { AddressRange } from './address-allocator.ts';

/** Which of a machine's buses an address is on: memory, or the I/O ports that x86_64 has. */
export type AddressSpace = 'mmio' | 'pio';

/** Where a UART is, and the wired interrupt it has. */
export interface SerialPlacement {
  readonly kind: 'uart16550' | 'pl011';
  readonly space: AddressSpace;
  readonly address: number;
  /** Ports with the same source share its line. */
  readonly source: number;
}

/** Where flash memory goes, and of what chips firmware expects it to be. */
export interface FlashPlacement extends PflashOptions {
  readonly address: number;
}

/** The PCI host bridge of a board. */
export interface PciPlacement {
  /** Configuration space in memory, by the CAM (256 bytes a function) or ECAM (4,096 bytes) layout. */
  readonly configuration: { readonly kind: 'cam' | 'ecam'; readonly address: number; readonly size: number };
  /** First of the eight ports of configuration mechanism 1 and the reset register, on boards that have ports. */
  readonly configurationPorts?: number;
  /** Addresses for 32-bit BARs. */
  readonly lowWindow: AddressRange;
  /** Addresses for 64-bit prefetchable BARs. */
  readonly highWindow: AddressRange;
  /** More addresses that lead to PCI, where nothing is unless firmware moves BARs there. */
  readonly spareWindow?: AddressRange;
  /** Wired interrupts for the functions' interrupt pins. */
  readonly pinSources: readonly number[];
  /** How many PCI Express root ports there are, each with a slot for hot-plug. */
  readonly rootPorts: number;
}

/** An interrupt pin of a PCI function on bus 0, and the wired interrupt it leads to. */
export interface PciInterrupt {
  readonly device: number;
  readonly function: number;
  /** 1 to 4 for INTA to INTD. */
  readonly pin: number;
  readonly source: number;
}

/** What is started first: a kernel by its boot protocol, or firmware from where the CPU comes out of reset. */
export type BootImage =
  | { readonly kind: 'kernel'; readonly source: ByteSource; readonly initrd: ByteSource | undefined }
  | { readonly kind: 'firmware'; readonly source: ByteSource };

export interface BootOptions {
  readonly image: BootImage;
  /** Parameters for the kernel, each appended as it is. */
  readonly parameters: readonly string[];
  /** Which serial port is `stdout-path`: its index, if any. */
  readonly standardOutput: number | undefined;
  readonly pciInterrupts: readonly PciInterrupt[];
  /** What the hypervisor made of the board's {@link Board.vm}. */
  readonly platform: Platform;
}

/** Values of a vCPU's registers, by their manual's names (see `VcpuRegisters` of @tsvmm/hypervisor). */
export type BootRegisters = Readonly<Record<string, bigint>>;

/** The devices a board has whatever the configuration says: clocks, power management, keyboard controllers. */
export interface PlatformDevices extends Disposable {
  /** What goes on the memory bus and, where there are ports, on theirs. */
  readonly mmio: readonly BusEntry[];
  readonly pio: readonly BusEntry[];
  /** Presses the power button, on boards that have one: the guest is told, and turns itself off if it likes. */
  pressPowerButton?(): void;
}

/** A machine of one architecture: what is where, and how its kernel is started. */
export interface Board {
  readonly architecture: Architecture;
  /** What the hypervisor is to create. */
  readonly vm: VmOptions;
  /** COM1 and so on: as many as there are. */
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  /** There with {@link BoardOptions.flashSize}. */
  readonly flash?: FlashPlacement | undefined;
  /** Registers that every vCPU is given before it first runs, the ones that the guest starts later too. */
  readonly vcpuRegisters: BootRegisters;
  /**
   * Makes the platform devices, on the thread that builds the machine.
   *
   * @param environment interrupts and the like, as this thread reaches them
   * @param onFailure told when a device that does something by itself, such as a clock, cannot go on
   */
  createPlatformDevices(environment: DeviceEnvironment, onFailure: (error: unknown) => void): PlatformDevices;
  /**
   * Writes kernel, initrd and tables, or the firmware, to guest memory.
   *
   * @returns registers of vCPU 0, beside {@link vcpuRegisters}
   * @throws MachineError COMMAND_LINE, MEMORY_TOO_SMALL, UNSUPPORTED; KernelImageError for the kernel
   */
  boot(memory: GuestMemory, options: BootOptions): Promise<BootRegisters>;
}

/** What a board is made for. A board refuses what it has not, with MachineError UNSUPPORTED. */
export interface BoardOptions {
  /** Bytes of RAM, a multiple of the page size. */
  readonly ramSize: number;
  readonly vcpuCount: number;
  /** Bits of a guest-physical address, as the hypervisor has them. */
  readonly addressBits: number;
  /** Bytes of the firmware image, when the machine starts from firmware. */
  readonly firmwareSize?: number;
  /** Bytes of the flash memory that keeps the firmware's variables. */
  readonly flashSize?: number;
  /** What firmware finds in fw_cfg, a device that is there when this is, even with nothing in it. */
  readonly fwCfgFiles?: readonly FwCfgFile[];
  /** Where PCI is, where it is not to be where the board puts it. */
  readonly pci?: {
    /** Addresses for 32-bit BARs. */
    readonly memory?: AddressRange;
    /** Configuration space. */
    readonly configuration?: AddressRange;
  };
  readonly platform?: PlatformOptions;
  /** Have only the local APICs of an x86_64 machine in the kernel: see `VmOptions.irqchip` of @tsvmm/hypervisor. */
  readonly splitIrqchip?: boolean;
  /** Have an interrupt translation service, without which an aarch64 machine has no message-signalled interrupts. */
  readonly its?: boolean;
  /** Whether the guest may be a hypervisor: what the board thinks best when left out. */
  readonly nested?: NonNullable<VmOptions['nested']>;
  /** Files of ACPI tables: a DSDT or FACP replaces the machine's, the others are added. */
  readonly acpiTables?: readonly Uint8Array[];
  readonly smbios?: SmbiosOptions;
}

/** What SMBIOS says of the machine: a PC's firmware tables, which `dmidecode` shows. */
export interface SmbiosOptions {
  /** `tsvmm` unless given. */
  readonly biosVendor?: string;
  /** `0` unless given. */
  readonly biosVersion?: string;
  /** `tsvmm` unless given. */
  readonly manufacturer?: string;
  /** `tsvmm` unless given. */
  readonly productName?: string;
  /** None unless given. */
  readonly serialNumber?: string;
  /** None unless given. */
  readonly uuid?: string;
  /** Up to 255. */
  readonly oemStrings?: readonly string[];
}

/** Platform devices that can be left out; all are there unless `false`. */
export interface PlatformOptions {
  /** The keyboard controller of a PC, by which it can be reset. */
  readonly i8042?: boolean;
  /** The clock that runs while the machine is off. */
  readonly rtc?: boolean;
}
