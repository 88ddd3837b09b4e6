export { attachInterrupts, attachRegion, attachVcpu } from './attach.ts';
export { HypervisorError, type HypervisorErrorCode } from './errors.ts';
export type {
  Architecture,
  Capability,
  Hypervisor,
  HypervisorKind,
  RamRegion,
  VmOptions,
} from './hypervisor.ts';
export {
  type AiaOptions,
  APLIC_SIZE,
  type GicOptions,
  IMSIC_FILE_SIZE,
} from './interrupt-controllers.ts';
export { KvmHypervisor } from './kvm/kvm-hypervisor.ts';
export { KvmError } from './kvm/native.ts';
export {
  IDENTITY_MAP_ADDRESS as KVM_X86_IDENTITY_MAP_ADDRESS,
  TSS_ADDRESS as KVM_X86_TSS_ADDRESS,
} from './kvm/x86_64/x86-64.ts';
export type { Aarch64Platform, Platform, Riscv64Platform, X86Platform } from './platform.ts';
export { type Selection, type SelectionOptions, selectHypervisor } from './selection.ts';
export type { ExitAccess, ExitHandler, StopReason, Vcpu, VcpuRegisters, VcpuStop } from './vcpu.ts';
export type {
  DirtyLog,
  DirtyPages,
  InterruptLine,
  Interrupts,
  InterruptsDescriptor,
  InterruptTarget,
  IoEvent,
  MemoryRegion,
  MsiEvents,
  MsiSender,
  RegionDescriptor,
  RegionSwitch,
  VcpuControl,
  VcpuDescriptor,
  Vm,
} from './vm.ts';
