export { attachInterrupts, attachVcpu } from './attach.ts';
export { HypervisorError, type HypervisorErrorCode } from './errors.ts';
export type {
  Architecture,
  Capability,
  Hypervisor,
  HypervisorKind,
  RamRegion,
  VmOptions,
} from './hypervisor.ts';
export { KvmHypervisor } from './kvm/kvm-hypervisor.ts';
export { KvmError } from './kvm/native.ts';
export {
  IDENTITY_MAP_ADDRESS as KVM_X86_IDENTITY_MAP_ADDRESS,
  TSS_ADDRESS as KVM_X86_TSS_ADDRESS,
} from './kvm/x86_64/x86-64.ts';
export { type Selection, type SelectionOptions, selectHypervisor } from './selection.ts';
export { TIMEBASE_FREQUENCY as SOFT_TIMEBASE_FREQUENCY } from './soft/timebase.ts';
export type { ExitAccess, ExitHandler, StopReason, Vcpu, VcpuRegisters, VcpuStop } from './vcpu.ts';
export type {
  AiaOptions,
  DirtyLog,
  DirtyPages,
  InterruptLine,
  Interrupts,
  InterruptsDescriptor,
  InterruptTarget,
  IoEvent,
  MemoryRegion,
  MsiSender,
  VcpuControl,
  VcpuDescriptor,
  Vm,
} from './vm.ts';
