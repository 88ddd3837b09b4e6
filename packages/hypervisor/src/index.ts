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
export { type Selection, selectHypervisor } from './selection.ts';
export { TIMEBASE_FREQUENCY as SOFT_TIMEBASE_FREQUENCY } from './soft/timebase.ts';
export type { ExitAccess, ExitHandler, StopReason, Vcpu, VcpuRegisters, VcpuStop } from './vcpu.ts';
export type {
  AiaOptions,
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
