import type { EventFd } from '@tsvmm/base';
import { HypervisorError } from '../errors.ts';
import type { Architecture, RamRegion, VmOptions } from '../hypervisor.ts';
import type { Platform } from '../platform.ts';
import type { ExitHandler, VcpuRegisters, VcpuStop } from '../vcpu.ts';
import type { InterruptLine } from '../vm.ts';
import { aarch64 } from './aarch64/aarch64.ts';
import type { GsiRoute, GsiRoutes } from './gsi-routes.ts';
import type { NativeSystem, NativeVcpu, NativeVm } from './native.ts';
import { riscv64 } from './riscv64/riscv64.ts';
import { x86_64 } from './x86_64/x86-64.ts';

/** Registers that are read when they are first asked for, and written back when the guest runs again. */
export interface KvmRegisters extends VcpuRegisters {
  /** Writes what was set. @throws KvmError when KVM refuses the values */
  flush(): void;
  /** Forgets what was read: the guest is about to run. */
  invalidate(): void;
}

/** Named pieces of state, each in the form that KVM gives it. */
export type KvmState = Readonly<Record<string, Uint8Array>>;

/** A machine that is being made. */
export interface MachineParts {
  readonly system: NativeSystem;
  readonly vm: NativeVm;
  readonly options: VmOptions;
  readonly routes: GsiRoutes;
}

/** A vCPU on the thread that runs it. */
export interface VcpuParts {
  readonly id: number;
  readonly vcpu: NativeVcpu;
  /** What it shares with the kernel. */
  readonly pages: ArrayBuffer;
  /** What calls of the guest may point at. */
  readonly ram: readonly RamRegion[];
  /** {@link UserControllers.descriptor} of the machine's. */
  readonly controllers: unknown;
}

/** Interrupt controllers that are not in the kernel, on one of the machine's threads. */
export interface UserControllers extends Disposable {
  /** Plain data from which other threads attach to them. */
  readonly descriptor: unknown;
  /** The wire of a source that is there. */
  line(source: number): InterruptLine;
}

/** Wired interrupts by the numbers that the contract gives them, which are their GSIs. */
export interface LineRange {
  readonly first: number;
  readonly count: number;
}

/** What a machine has in the kernel beside memory and vCPUs: interrupt controllers, timers, clocks. */
export interface KernelDevices extends Disposable {
  readonly platform: Platform;
  readonly lines: LineRange;
  /** The routes that the interrupt controllers have from the start. */
  readonly routes: readonly GsiRoute[];
  /** First GSI that is free for MSIs. */
  readonly firstFreeGsi: number;
  /** Whether the eventfd of a line makes a pulse: one that stays up has only one edge. */
  readonly hasLinePulses: boolean;
  /** Whether somebody takes MSIs. */
  readonly hasMessages: boolean;
  /** The interrupt controllers that are not in the kernel, if there are any. */
  readonly controllers?: UserControllers;
  /** Raises a line until its interrupt has been ended, then signals `resample`: where the kernel does not. */
  raiseUntilEnded?(source: number, event: EventFd, resample: EventFd): Disposable;
  /** Reads them. No vCPU may run. */
  saveState(): KvmState;
  /** Writes them to a machine made with the same options. No vCPU may have run. */
  restoreState(state: KvmState): void;
}

/** What the exits that only one architecture has are handled with. */
export interface ArchitectureExits extends Partial<Disposable> {
  /** The vCPU is about to run: who handles accesses, which is the given one after what is the architecture's own. */
  handlerBefore?(handler: ExitHandler): ExitHandler;
  /** Somebody has kicked the vCPU, but not to stop it. */
  interrupted?(): void;
  /** @returns why the vCPU stops, `resume` when it goes on, undefined for an exit that is not this architecture's */
  handle(reason: number, handler: ExitHandler): VcpuStop | 'resume' | undefined;
}

/** What differs between the architectures that KVM virtualizes. */
export interface KvmArchitecture {
  readonly name: Architecture;
  /** Most vCPUs that the interrupt controllers here tell apart. */
  readonly maximumVcpus: number;
  /** Bits of a guest-physical address. */
  addressBits(system: NativeSystem): number;
  /** Whether guests can have the virtualization extensions of the CPU. */
  hasNesting(system: NativeSystem): boolean;
  /** What KVM_CREATE_VM is given. */
  machineType(system: NativeSystem, options: VmOptions): number;
  /** Creates what must be there before the first vCPU. */
  prepareVm(parts: MachineParts): void;
  /** Gives a new vCPU its identity. */
  prepareVcpu(parts: MachineParts, vcpu: NativeVcpu, id: number): void;
  /** Creates what needs all vCPUs to be there. */
  completeVm(parts: MachineParts, vcpus: readonly NativeVcpu[]): KernelDevices;
  /** Attaches to interrupt controllers that are not in the kernel; only where there can be such. */
  attachControllers?(descriptor: unknown): UserControllers;
  /** What KVM_IRQ_LINE calls a wired interrupt. */
  lineInput(source: number): number;
  /**
   * What it calls a vCPU's own.
   *
   * @throws HypervisorError UNSUPPORTED when vCPUs have none, INVALID_ARGUMENT when not of that number
   */
  privateLineInput(vcpu: number, source: number): number;
  registers(vcpu: NativeVcpu): KvmRegisters;
  exits(parts: VcpuParts): ArchitectureExits;
  /** The vCPU is about to go on after its run was stopped, for a time that the guest must not take for a lock-up. */
  resume(vcpu: NativeVcpu): void;
  /** Numbers of the registers that are saved one by one. */
  stateRegisters(system: NativeSystem): Uint32Array;
  saveVcpu(vcpu: NativeVcpu, stateRegisters: Uint32Array): KvmState;
  restoreVcpu(vcpu: NativeVcpu, state: KvmState): void;
}

/** By the name that Node has for the host's architecture. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, KvmArchitecture>>> = {
  x64: x86_64,
  arm64: aarch64,
  riscv64,
};

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
