import type { Architecture, VmOptions } from '@tsvmm/hypervisor';
import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import type { AddressRange } from './address-allocator.ts';

/** Where a 16550A UART is, and the wired interrupt it has. */
export interface SerialPlacement {
  readonly address: number;
  readonly source: number;
}

/** The PCI host bridge of a board. */
export interface PciPlacement {
  /** Configuration space, by the CAM (256 bytes a function) or ECAM (4,096 bytes) layout. */
  readonly configuration: { readonly kind: 'cam' | 'ecam'; readonly address: number; readonly size: number };
  /** Addresses for 32-bit BARs. */
  readonly lowWindow: AddressRange;
  /** Addresses for 64-bit prefetchable BARs. */
  readonly highWindow: AddressRange;
  /** Wired interrupts for the functions' interrupt pins. */
  readonly pinSources: readonly number[];
}

/** An interrupt pin of a PCI function on bus 0, and the wired interrupt it leads to. */
export interface PciInterrupt {
  readonly device: number;
  readonly function: number;
  /** 1 to 4 for INTA to INTD. */
  readonly pin: number;
  readonly source: number;
}

export interface BootOptions {
  readonly kernel: ByteSource;
  readonly initrd: ByteSource | undefined;
  /** Parameters for the kernel, each appended as it is. */
  readonly parameters: readonly string[];
  /** Which serial port is `stdout-path`: its index, if any. */
  readonly standardOutput: number | undefined;
  readonly pciInterrupts: readonly PciInterrupt[];
}

/** Registers of vCPU 0 at its first instruction, by their manual's names. */
export type BootRegisters = Readonly<Record<string, bigint>>;

/** A machine of one architecture: what is where, and how its kernel is started. */
export interface Board {
  readonly architecture: Architecture;
  /** What the hypervisor is to create. */
  readonly vm: VmOptions;
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  /**
   * Writes kernel, initrd and tables to guest memory.
   *
   * @throws MachineError COMMAND_LINE, MEMORY_TOO_SMALL; KernelImageError for the kernel
   */
  boot(memory: GuestMemory, options: BootOptions): Promise<BootRegisters>;
}

export interface BoardOptions {
  /** Bytes of RAM, a multiple of the page size. */
  readonly ramSize: number;
  readonly vcpuCount: number;
}
