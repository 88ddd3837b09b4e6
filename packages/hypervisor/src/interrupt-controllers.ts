/** Bytes of an IMSIC's interrupt file (RISC-V AIA 1.0, section 3.5). */
export const IMSIC_FILE_SIZE = 0x1000;
/** Bytes of an APLIC's control region, without the IDCs that a domain in MSI mode has no use for (section 4.5). */
export const APLIC_SIZE = 0x4000;

/** Where a riscv64 machine's interrupt controllers are (RISC-V AIA 1.0). */
export interface AiaOptions {
  /** First interrupt file; one page a hart follows. */
  readonly imsicAddress: number;
  /** Interrupt identities of each file: a multiple of 64, minus 1. */
  readonly imsicIdentities: number;
  /** The supervisor domain of the APLIC, in MSI delivery mode. */
  readonly aplicAddress: number;
  /** Wired sources, numbered from 1. */
  readonly aplicSources: number;
}

/**
 * Where an aarch64 machine's interrupt controller is (Arm GIC architecture specification, IHI 0069). Wired interrupts are
 * its shared peripheral interrupts: source n is INTID 32 + n. Message-signalled interrupts need an ITS.
 */
export interface GicOptions {
  /** Version 3 where the host has it, else 2, when left out. */
  readonly version?: 2 | 3;
  /** Distributor: 64 KiB. */
  readonly distributorAddress: number;
  /** Version 3: the first redistributor, 128 KiB; one a vCPU follows. */
  readonly redistributorAddress: number;
  /** Version 2: the CPU interface, 8 KiB. */
  readonly cpuInterfaceAddress: number;
  /** Interrupt translation service, 128 KiB, of a version 3 controller; there is none when left out. */
  readonly itsAddress?: number;
  /** Wired sources, numbered from 0: a multiple of 32, at most 960. */
  readonly sources: number;
}
