/** What a guest is told of its machine (device tree, ACPI) and only the hypervisor knows, by architecture. */
export type Platform = X86Platform | Aarch64Platform | Riscv64Platform;

export interface X86Platform {
  readonly architecture: 'x86_64';
}

export interface Aarch64Platform {
  readonly architecture: 'aarch64';
  readonly gicVersion: 2 | 3;
  /** Whether there is an interrupt translation service: without one, there are no message-signalled interrupts. */
  readonly hasIts: boolean;
  /** PSCI's version (Arm DEN 0022): 0.2 or later. */
  readonly psci: { readonly major: number; readonly minor: number };
  /** Which instruction calls PSCI: `smc` when the guest may be a hypervisor and has `hvc` for itself. */
  readonly psciConduit: 'hvc' | 'smc';
  /** INTID of the performance monitors' private interrupt, where there are performance monitors. */
  readonly pmuInterrupt?: number;
  /** Whether vCPUs start at EL2. */
  readonly hasEl2: boolean;
  /** Affinity fields of MPIDR_EL1, Aff3 in bits 39:32 and Aff2 to Aff0 in bits 23:0, of each vCPU. */
  readonly affinities: readonly number[];
}

export interface Riscv64Platform {
  readonly architecture: 'riscv64';
  /** Frequency of the `time` CSR, in Hz. */
  readonly timebaseFrequency: number;
  /** Extensions of each hart as `riscv,isa-extensions` lists them: `i`, `m`, `zicsr`, `ssaia`. */
  readonly isaExtensions: readonly string[];
  /** The largest translation mode of `satp`. */
  readonly mmuType: 'sv39' | 'sv48' | 'sv57';
  /** Bytes that one instruction of Zicbom, or Zicboz, works on, where a hart has these. */
  readonly cbomBlockSize?: number;
  readonly cbozBlockSize?: number;
}
