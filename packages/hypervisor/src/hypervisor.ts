import type { AiaOptions, GicOptions } from './interrupt-controllers.ts';
import type { MemoryRegion, Vm } from './vm.ts';

export type HypervisorKind = 'soft' | 'kvm';

/** Guest architectures under the names the guest's `uname -m` prints. */
export type Architecture = 'riscv64' | 'x86_64' | 'aarch64';

/** RAM of a virtual machine. */
export interface RamRegion {
  /** Guest-physical address, page aligned. */
  readonly guestAddress: number;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
}

export interface VmOptions {
  readonly architecture: Architecture;
  readonly ram: readonly RamRegion[];
  readonly vcpuCount: number;
  /** Memory beside RAM that is there from the start, for good; none when left out. The descriptors stay the caller's. */
  readonly regions?: readonly MemoryRegion[];
  /**
   * Whether other processes can map RAM, which is a file then; true when left out. Memory that is this process's alone is
   * in huge pages where the host has them, of which a guest's boot touches hundreds instead of ten thousands.
   */
  readonly sharedMemory?: boolean;
  /**
   * Where an x86_64 machine's interrupt controllers are: all in the kernel with the 8254, which is so when left out, or
   * `split`: only the local APICs there, 8259s and I/O APIC in this program, where a guest's faults in them stay. A machine
   * that is split has no 8254 unless its board brings one.
   */
  readonly irqchip?: 'kernel' | 'split';
  /** Interrupt controllers of a riscv64 machine. */
  readonly aia?: AiaOptions;
  /** Interrupt controllers of an aarch64 machine. */
  readonly gic?: GicOptions;
  /**
   * Whether the guest may itself be a hypervisor: `auto` where the host allows it. `off` when left out.
   */
  readonly nested?: 'off' | 'auto' | 'on';
}

/** What a hypervisor may be able to do beyond the contract's core. */
export type Capability =
  /** Memory that comes and goes while the machine runs. */
  | 'memory-regions'
  /** Memory slots that make stores exit. */
  | 'read-only-memory'
  /** Which pages the guest has written. */
  | 'dirty-log'
  /** Interrupt events that tell when the guest has ended a level-triggered interrupt. */
  | 'interrupt-resampling'
  /** Guests that are hypervisors. */
  | 'nested-virtualization'
  /** Guests of an architecture other than the host's. */
  | 'foreign-architecture';

/** A way to run guest code. */
export interface Hypervisor extends Disposable {
  readonly kind: HypervisorKind;
  readonly architectures: readonly Architecture[];
  /** Most vCPUs a machine may have. */
  readonly maximumVcpus: number;
  /** Most bytes of RAM a machine may have. */
  readonly maximumRam: number;
  /** Bits of a guest-physical address: what lies beyond, guests cannot reach. */
  readonly addressBits: number;
  has(capability: Capability): boolean;
  /**
   * @throws HypervisorError UNSUPPORTED for an architecture it does not run, INVALID_ARGUMENT for options out of range,
   * NO_RESOURCES when the host has not enough memory
   */
  createVm(options: VmOptions): Promise<Vm>;
}
