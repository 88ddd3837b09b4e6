import { HypervisorError } from './errors.ts';
import { SoftInterrupts, type SoftMachineDescriptor } from './soft/machine.ts';
import { SoftVcpu, type SoftVcpuBackEnd } from './soft/soft-vcpu.ts';
import type { Vcpu } from './vcpu.ts';
import type { Interrupts, InterruptsDescriptor, VcpuDescriptor } from './vm.ts';

/** Opens a vCPU on the thread that is to run it. @throws HypervisorError UNSUPPORTED for a kind this build has not */
export function attachVcpu(descriptor: VcpuDescriptor): Vcpu {
  if (descriptor.kind === 'soft') {
    return new SoftVcpu(descriptor.id, descriptor.backEnd as SoftVcpuBackEnd);
  }
  throw new HypervisorError('UNSUPPORTED', `there is no ${descriptor.kind} hypervisor in this build`);
}

/** Opens a machine's interrupt controllers on another thread. */
export function attachInterrupts(descriptor: InterruptsDescriptor): Interrupts {
  if (descriptor.kind === 'soft') {
    return new SoftInterrupts(descriptor.backEnd as SoftMachineDescriptor);
  }
  throw new HypervisorError('UNSUPPORTED', `there is no ${descriptor.kind} hypervisor in this build`);
}
