import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { HypervisorError, type HypervisorErrorCode } from '../errors.ts';

/** /dev/kvm. */
export interface NativeSystem {
  readonly __system: unique symbol;
}

/** A machine. */
export interface NativeVm {
  readonly __vm: unique symbol;
}

/** A virtual CPU. */
export interface NativeVcpu {
  readonly __vcpu: unique symbol;
}

/** A device inside the kernel, such as an interrupt controller. */
export interface NativeDevice {
  readonly __device: unique symbol;
}

export type NativeObject = NativeSystem | NativeVm | NativeVcpu | NativeDevice;

/** The ioctls of `native/calls.cc`, under their names in <linux/kvm.h>. Which there are depends on the architecture. */
export type NumberCall =
  | 'KVM_CHECK_EXTENSION'
  | 'KVM_CHECK_VM_EXTENSION'
  | 'KVM_CREATE_IRQCHIP'
  | 'KVM_SET_TSS_ADDR'
  | 'KVM_NMI'
  | 'KVM_KVMCLOCK_CTRL'
  | 'KVM_GET_TSC_KHZ'
  | 'KVM_SET_TSC_KHZ';

export type StructureCall =
  | 'KVM_ENABLE_CAP'
  | 'KVM_IRQ_LINE'
  | 'KVM_IRQFD'
  | 'KVM_IOEVENTFD'
  | 'KVM_SIGNAL_MSI'
  | 'KVM_SET_GSI_ROUTING'
  | 'KVM_GET_CLOCK'
  | 'KVM_SET_CLOCK'
  | 'KVM_GET_MP_STATE'
  | 'KVM_SET_MP_STATE'
  | 'KVM_GET_REG_LIST'
  | 'KVM_GET_VCPU_EVENTS'
  | 'KVM_SET_VCPU_EVENTS'
  | 'KVM_ARM_PREFERRED_TARGET'
  | 'KVM_ARM_VCPU_INIT'
  | 'KVM_ARM_VCPU_FINALIZE'
  | 'KVM_GET_SUPPORTED_CPUID'
  | 'KVM_GET_MSR_INDEX_LIST'
  | 'KVM_SET_IDENTITY_MAP_ADDR'
  | 'KVM_CREATE_PIT2'
  | 'KVM_GET_PIT2'
  | 'KVM_SET_PIT2'
  | 'KVM_GET_IRQCHIP'
  | 'KVM_SET_IRQCHIP'
  | 'KVM_INTERRUPT'
  | 'KVM_GET_REGS'
  | 'KVM_SET_REGS'
  | 'KVM_GET_SREGS'
  | 'KVM_SET_SREGS'
  | 'KVM_GET_FPU'
  | 'KVM_SET_FPU'
  | 'KVM_GET_MSRS'
  | 'KVM_SET_MSRS'
  | 'KVM_GET_CPUID2'
  | 'KVM_SET_CPUID2'
  | 'KVM_GET_XSAVE'
  | 'KVM_GET_XSAVE2'
  | 'KVM_SET_XSAVE'
  | 'KVM_GET_NESTED_STATE'
  | 'KVM_SET_NESTED_STATE'
  | 'KVM_GET_XCRS'
  | 'KVM_SET_XCRS'
  | 'KVM_GET_DEBUGREGS'
  | 'KVM_SET_DEBUGREGS'
  | 'KVM_GET_LAPIC'
  | 'KVM_SET_LAPIC';

/** A vCPU on the thread that runs it. */
export interface AttachedVcpu {
  readonly vcpu: NativeVcpu;
  /** The pages shared with the kernel, `struct kvm_run` first. Empty once the vCPU is released. */
  readonly pages: ArrayBuffer;
  /** KVM_RUN: undefined when the guest exited, else its errno. */
  enter(): number | undefined;
}

/** The add-on: `native/*.cc` documents each function beside its code, and checks every argument. */
export interface Native {
  /** The number of each ioctl for {@link callNumber} and {@link callStructure}. */
  readonly calls: Readonly<Partial<Record<NumberCall | StructureCall, number>>>;
  setErrorFactory(create: (errno: number, call: string, what: string) => Error): void;

  openSystem(path: string): NativeSystem;
  createVm(system: NativeSystem, type: number): NativeVm;
  createVcpu(vm: NativeVm, id: number): NativeVcpu;
  createDevice(vm: NativeVm, type: number): NativeDevice;
  attachVm(handle: number): NativeVm;
  attachVcpu(handle: number): AttachedVcpu;
  shareVcpu(handle: number): NativeVcpu;
  handleOf(object: NativeVm | NativeVcpu): number;
  release(object: NativeObject): void;

  callNumber(object: NativeObject, call: number, argument: number): number;
  callStructure(object: NativeObject, call: number, bytes: Uint8Array): number;
  oneRegister(vcpu: NativeVcpu, write: boolean, idHigh: number, idLow: number, bytes: Uint8Array): void;
  deviceAttribute(
    object: NativeDevice | NativeVm | NativeVcpu,
    operation: number,
    group: number,
    attributeHigh: number,
    attributeLow: number,
    bytes: Uint8Array,
  ): boolean;

  addMemory(
    vm: NativeVm,
    slot: number,
    flags: number,
    guestAddress: number,
    size: number,
    fd: number,
    fdOffset: number,
  ): void;
  allocateMemory(size: number): SharedArrayBuffer | undefined;
  addAllocated(vm: NativeVm, slot: number, flags: number, guestAddress: number, bytes: Uint8Array): void;
  changeMemory(vm: NativeVm, slot: number, flags: number): void;
  removeMemory(vm: NativeVm, slot: number): void;
  dirtyLog(vm: NativeVm, slot: number, bitmap: Uint8Array): void;

  kick(vcpu: NativeVcpu): void;
  requestStop(vcpu: NativeVcpu): void;
  takeStop(vcpu: NativeVcpu): boolean;
  completeExit(vcpu: NativeVcpu): void;
}

const CODES: Readonly<Record<string, HypervisorErrorCode>> = {
  E2BIG: 'INVALID_ARGUMENT',
  EBADF: 'INVALID_STATE',
  EBUSY: 'INVALID_STATE',
  EEXIST: 'INVALID_ARGUMENT',
  EINVAL: 'INVALID_ARGUMENT',
  EMFILE: 'NO_RESOURCES',
  ENFILE: 'NO_RESOURCES',
  ENOENT: 'INVALID_ARGUMENT',
  ENOMEM: 'NO_RESOURCES',
  ENOSPC: 'NO_RESOURCES',
  ENOSYS: 'UNSUPPORTED',
  ENOTSUP: 'UNSUPPORTED',
  ENOTTY: 'UNSUPPORTED',
  ENXIO: 'UNSUPPORTED',
};

/** An ioctl or system call of the add-on failed: its name and errno are in the message and here. */
export class KvmError extends HypervisorError {
  /** The errno's name, such as `ENOMEM`. */
  readonly errno: string;
  /** The ioctl or system call, such as `KVM_CREATE_VM`. */
  readonly call: string;

  constructor(errno: number, call: string, what: string) {
    const name = getSystemErrorName(-errno);
    super(CODES[name] ?? 'UNAVAILABLE', `${what} (${call}: ${name})`);
    this.errno = name;
    this.call = call;
  }
}

let loaded: Native | undefined;

/**
 * The add-on, loaded when KVM is first asked for: the software hypervisor must work where there is none.
 *
 * @throws HypervisorError UNAVAILABLE when it was not built
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  const find = createRequire(import.meta.url)('node-gyp-build') as (packageRoot: string) => Native;
  let addon: Native;
  try {
    addon = find(fileURLToPath(new URL('../..', import.meta.url)));
  } catch (cause) {
    throw new HypervisorError(
      'UNAVAILABLE',
      `the native part of @tsvmm/hypervisor does not load on ${process.platform}-${process.arch}: in a checkout run ` +
        "'pnpm build'; after installing from a registry run 'npm rebuild @tsvmm/hypervisor', which needs a C++20 " +
        'compiler, make and Python 3',
      { cause },
    );
  }
  addon.setErrorFactory((errno, call, what) => new KvmError(errno, call, what));
  return addon;
}

function numberOf(call: NumberCall | StructureCall): number {
  const number = native().calls[call];
  if (number === undefined) {
    throw new HypervisorError('UNSUPPORTED', `${call} does not exist on ${process.arch}`);
  }
  return number;
}

/** Makes an ioctl whose argument is a number. @throws KvmError */
export function callNumber(object: NativeObject, call: NumberCall, argument = 0): number {
  return native().callNumber(object, numberOf(call), argument);
}

/** Makes an ioctl whose argument is a structure, which is read, written or both in place. @throws KvmError */
export function callStructure(object: NativeObject, call: StructureCall, bytes: Uint8Array): number {
  return native().callStructure(object, numberOf(call), bytes);
}

/** Turns a capability of a machine on (`struct kvm_enable_cap`, with its first argument). @throws KvmError */
export function enableCapability(vm: NativeVm, capability: Capability, argument = 0): void {
  const view = new DataView(new ArrayBuffer(104));
  view.setUint32(0, capability, true);
  view.setUint32(8, argument, true);
  callStructure(vm, 'KVM_ENABLE_CAP', new Uint8Array(view.buffer));
}

/** What KVM_CHECK_EXTENSION says of a capability: 0 when it is not there. */
export function extension(object: NativeSystem | NativeVm, call: Capability, ofVm = false): number {
  return callNumber(object, ofVm ? 'KVM_CHECK_VM_EXTENSION' : 'KVM_CHECK_EXTENSION', call);
}

/** Capabilities (KVM_CAP_*) by number. */
export const Capability = {
  irqchip: 0,
  userMemory: 3,
  setTssAddress: 4,
  maximumVcpus: 66,
  irqRouting: 25,
  irqfd: 32,
  pit2: 33,
  ioeventfd: 36,
  setIdentityMapAddress: 37,
  tscDeadlineTimer: 72,
  signalMsi: 77,
  splitIrqchip: 121,
  readOnlyMemory: 81,
  irqfdResample: 82,
  ioeventfdAnyLength: 122,
  immediateExit: 136,
  xsave2: 208,
  armPmuV3: 126,
  armIpaSize: 165,
  armSve: 170,
  armPtrauthAddress: 171,
  armPtrauthGeneric: 172,
  armNoSyndromeToUser: 177,
  armEl2: 240,
  riscvAddressBits: 207,
} as const;
export type Capability = (typeof Capability)[keyof typeof Capability];
