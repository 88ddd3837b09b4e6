import type { Decompressors } from './decompress.ts';

export type Architecture = 'riscv64' | 'aarch64' | 'x86_64';

export interface LoadOptions {
  /** What the guest's CPUs run. */
  readonly architecture: Architecture;
  /** Where RAM starts, a multiple of 2 MiB: a raw Image is loaded at its offset from here, a bzImage 2 MiB from here. */
  readonly ramBase: number;
  /** Added to the physical addresses of an ELF file; 0 unless given. */
  readonly elfOffset?: number;
  /** Most bytes that a compressed kernel may unpack to; 512 MiB unless given. */
  readonly maxUnpackedSize?: number;
  readonly decompressors?: Decompressors;
}

/** Where the kernel is and how it is entered; addresses are guest-physical. */
export interface LoadedKernel {
  readonly format: 'elf64' | 'elf32' | 'image' | 'bzimage' | 'multiboot';
  /** The kinds of compression it came in, outermost first. */
  readonly compression: readonly string[];
  readonly start: number;
  /** First address behind the kernel, behind its zeroed memory too. */
  readonly end: number;
  readonly entry: number;
  /** 32-bit entry of the PVH boot protocol, if the ELF file has a note of it. */
  readonly pvhEntry?: number;
  /** Whether the entry follows the Multiboot specification: always for that format, and for ELF files with its header. */
  readonly isMultiboot?: boolean;
  /** What a bzImage says of itself. */
  readonly linux?: LinuxSetup;
}

/** The setup header of a bzImage (Documentation/arch/x86/boot.rst). */
export interface LinuxSetup {
  /** The header's bytes, which belong at offset 0x1f1 of `boot_params`. */
  readonly header: Uint8Array;
  /** Whether the entry is the 64-bit one; the 32-bit one otherwise. */
  readonly is64Bit: boolean;
  /** Most bytes of the command line, without its NUL. */
  readonly commandLineMaximum: number;
  /** Highest address that the last byte of an initial RAM disk may have. */
  readonly initrdAddressMaximum: number;
}
