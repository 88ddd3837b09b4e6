import { HypervisorError } from '../errors.ts';
import type { Architecture, VmOptions } from '../hypervisor.ts';
import type { VcpuRegisters } from '../vcpu.ts';
import type { GsiRoute } from './gsi-routes.ts';
import type { NativeSystem, NativeVcpu, NativeVm } from './native.ts';
import { x86_64 } from './x86_64/x86-64.ts';

/** Registers that are read when they are first asked for, and written back when the guest runs again. */
export interface KvmRegisters extends VcpuRegisters {
  /** Writes what was set. @throws KvmError when KVM refuses the values */
  flush(): void;
  /** Forgets what was read: the guest is about to run. */
  invalidate(): void;
}

/** Named pieces of state, each the structure of an ioctl. */
export type KvmState = Readonly<Record<string, Uint8Array>>;

/** What differs between the architectures that KVM virtualizes. */
export interface KvmArchitecture {
  readonly name: Architecture;
  /** Most vCPUs that the interrupt controllers here tell apart. */
  readonly maximumVcpus: number;
  /** Wired interrupts: sources from 0 up to, but not including, this. Each is a GSI. */
  readonly lineCount: number;
  /** The routes that the in-kernel interrupt controllers have from the start. */
  readonly routes: readonly GsiRoute[];
  /** First GSI that is free for MSIs. */
  readonly firstFreeGsi: number;
  /** Bits of a guest-physical address. */
  addressBits(system: NativeSystem): number;
  /** Whether guests can have the virtualization extensions of the CPU. */
  hasNesting(system: NativeSystem): boolean;
  /** What KVM_CREATE_VM is given. */
  machineType(system: NativeSystem, options: VmOptions): number;
  /** Creates interrupt controllers and timers, before the first vCPU. */
  prepareVm(system: NativeSystem, vm: NativeVm, options: VmOptions): void;
  /** Gives a new vCPU its identity. */
  prepareVcpu(system: NativeSystem, vcpu: NativeVcpu, id: number, options: VmOptions): void;
  registers(vcpu: NativeVcpu): KvmRegisters;
  /** Numbers of the registers that are saved one by one. */
  stateRegisters(system: NativeSystem): Uint32Array;
  saveVcpu(vcpu: NativeVcpu, stateRegisters: Uint32Array): KvmState;
  restoreVcpu(vcpu: NativeVcpu, state: KvmState): void;
}

/** By the name that Node has for the host's architecture. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, KvmArchitecture>>> = { x64: x86_64 };

/** The architecture that KVM virtualizes here, if there is a back end for it. */
export function hostArchitecture(): KvmArchitecture | undefined {
  return ARCHITECTURES[process.arch];
}

/** @throws HypervisorError UNSUPPORTED when the descriptor of a machine came from a host of another architecture */
export function architectureOf(name: Architecture): KvmArchitecture {
  const architecture = Object.values(ARCHITECTURES).find((candidate) => candidate.name === name);
  if (architecture === undefined) {
    throw new HypervisorError('UNSUPPORTED', `KVM does not run ${name} guests here`);
  }
  return architecture;
}
