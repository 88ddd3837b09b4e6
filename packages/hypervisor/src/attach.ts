import { KvmInterrupts, type KvmInterruptsBackEnd } from './kvm/interrupts.ts';
import { KvmVcpu, type KvmVcpuBackEnd } from './kvm/kvm-vcpu.ts';
import { SoftInterrupts, type SoftMachineDescriptor } from './soft/machine.ts';
import { SoftVcpu, type SoftVcpuBackEnd } from './soft/soft-vcpu.ts';
import type { Vcpu } from './vcpu.ts';
import type { Interrupts, InterruptsDescriptor, VcpuDescriptor } from './vm.ts';

/**
 * Opens a vCPU on the thread that is to run it.
 *
 * @throws HypervisorError INVALID_STATE when the machine is gone
 */
export function attachVcpu(descriptor: VcpuDescriptor): Vcpu {
  const { kind, id, architecture, backEnd } = descriptor;
  switch (kind) {
    case 'soft':
      return new SoftVcpu(id, backEnd as SoftVcpuBackEnd);
    case 'kvm':
      return new KvmVcpu(id, architecture, backEnd as KvmVcpuBackEnd);
  }
}

/**
 * Opens a machine's interrupt controllers on another thread.
 *
 * @throws HypervisorError INVALID_STATE when the machine is gone
 */
export function attachInterrupts(descriptor: InterruptsDescriptor): Interrupts {
  const { kind, architecture, backEnd } = descriptor;
  switch (kind) {
    case 'soft':
      return new SoftInterrupts(backEnd as SoftMachineDescriptor);
    case 'kvm':
      return KvmInterrupts.attach(architecture, backEnd as KvmInterruptsBackEnd);
  }
}
