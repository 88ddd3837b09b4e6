import { KvmInterrupts, type KvmInterruptsBackEnd } from './kvm/interrupts.ts';
import { KvmVcpu, type KvmVcpuBackEnd } from './kvm/kvm-vcpu.ts';
import { type KvmRegionBackEnd, KvmRegionSwitch } from './kvm/region-switch.ts';
import type { SoftMachineDescriptor } from './soft/machine.ts';
import type { SoftVcpuBackEnd } from './soft/soft-vcpu.ts';
import type { Vcpu } from './vcpu.ts';
import type {
  Interrupts,
  InterruptsDescriptor,
  RegionDescriptor,
  RegionSwitch,
  VcpuDescriptor,
} from './vm.ts';

// The software CPU is loaded for its guests only: it is a third of what a thread of a machine of KVM's would start with.

/**
 * Opens a vCPU on the thread that is to run it.
 *
 * @throws HypervisorError INVALID_STATE when the machine is gone
 */
export async function attachVcpu(descriptor: VcpuDescriptor): Promise<Vcpu> {
  const { kind, id, architecture, backEnd } = descriptor;
  switch (kind) {
    case 'soft': {
      const { SoftVcpu } = await import('./soft/soft-vcpu.ts');
      return new SoftVcpu(id, backEnd as SoftVcpuBackEnd);
    }
    case 'kvm':
      return new KvmVcpu(id, architecture, backEnd as KvmVcpuBackEnd);
  }
}

/**
 * Opens a machine's interrupt controllers on another thread.
 *
 * @throws HypervisorError INVALID_STATE when the machine is gone
 */
export async function attachInterrupts(descriptor: InterruptsDescriptor): Promise<Interrupts> {
  const { kind, architecture, backEnd } = descriptor;
  switch (kind) {
    case 'soft': {
      const { SoftInterrupts } = await import('./soft/machine.ts');
      return new SoftInterrupts(backEnd as SoftMachineDescriptor);
    }
    case 'kvm':
      return KvmInterrupts.attach(architecture, backEnd as KvmInterruptsBackEnd);
  }
}

/**
 * Opens a read-only memory region on the thread that is to hide it and show it again.
 *
 * @throws HypervisorError INVALID_STATE when the machine is gone
 */
export function attachRegion({ backEnd }: RegionDescriptor): RegionSwitch {
  // Only KVM's machines have regions.
  return new KvmRegionSwitch(backEnd as KvmRegionBackEnd);
}
