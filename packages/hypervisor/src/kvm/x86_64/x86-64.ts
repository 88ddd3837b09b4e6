import { HypervisorError } from '../../errors.ts';
import type { VmOptions } from '../../hypervisor.ts';
import { IO_APIC_PINS } from '../../pc/io-apic.ts';
import type { KvmArchitecture } from '../architecture.ts';
import {
  Capability,
  callNumber,
  callStructure,
  enableCapability,
  extension,
  KvmError,
  type NativeSystem,
  type NativeVm,
} from '../native.ts';
import { Cpuid } from './cpuid.ts';
import { X86Exits } from './exits.ts';
import { X86KernelDevices } from './kernel-devices.ts';
import { savedMsrs } from './msrs.ts';
import { X86Registers } from './registers.ts';
import { SplitChips, type SplitChipsDescriptor } from './split/chips.ts';
import { SplitDevices } from './split/devices.ts';
import { SplitExits } from './split/exits.ts';
import { restoreVcpu, saveVcpu } from './state.ts';

/**
 * Four pages below 4 GiB − 16 MiB that Intel CPUs need for guests in real mode: the identity map, then the three of the
 * task state segment. The guest must not find RAM or devices there.
 */
export const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
export const TSS_ADDRESS = 0xfeff_d000;

/** KVM_PIT_SPEAKER_DUMMY: port 0x61 is KVM's too. */
const PIT_SPEAKER_DUMMY = 1;

function isNested(system: NativeSystem, options: VmOptions): boolean {
  const { nested = 'off' } = options;
  if (nested === 'off') return false;
  const has = Cpuid.supported(system).hasNesting;
  if (nested === 'on' && !has) {
    throw new HypervisorError(
      'UNSUPPORTED',
      'the host does not let guests be hypervisors: load kvm_intel or kvm_amd with nested=1, or leave nesting off',
    );
  }
  return has;
}

/** 8259s, I/O APIC and 8254 in the kernel, with the local APICs. */
function createKernelControllers(vm: NativeVm): void {
  callNumber(vm, 'KVM_CREATE_IRQCHIP');
  const pit = new Uint8Array(64);
  pit[0] = PIT_SPEAKER_DUMMY;
  callStructure(vm, 'KVM_CREATE_PIT2', pit);
}

/** Only the local APICs in the kernel, and a route in its table for each pin of the I/O APIC here. */
function splitControllers(vm: NativeVm): void {
  if (extension(vm, Capability.splitIrqchip, true) === 0) {
    throw new HypervisorError(
      'UNSUPPORTED',
      "the kernel's KVM has no split interrupt controllers: use Linux 4.4 or newer, or leave them in the kernel",
    );
  }
  enableCapability(vm, Capability.splitIrqchip, IO_APIC_PINS);
}

/** KVM on x86_64: local APICs in the kernel, the other interrupt controllers there too or in this program. */
export const x86_64: KvmArchitecture = {
  name: 'x86_64',
  // Ids of 8 bits, of which 255 means all.
  maximumVcpus: 254,

  addressBits: (system) => Cpuid.supported(system).addressBits,
  hasNesting: (system) => Cpuid.supported(system).hasNesting,

  machineType(system, options) {
    isNested(system, options);
    return 0;
  },

  prepareVm({ vm, options }) {
    const address = new Uint8Array(8);
    new DataView(address.buffer).setUint32(0, IDENTITY_MAP_ADDRESS, true);
    callStructure(vm, 'KVM_SET_IDENTITY_MAP_ADDR', address);
    callNumber(vm, 'KVM_SET_TSS_ADDR', TSS_ADDRESS);
    if (options.irqchip === 'split') splitControllers(vm);
    else createKernelControllers(vm);
  },

  prepareVcpu({ system, options }, vcpu, id) {
    const cpuid = Cpuid.supported(system);
    cpuid.personalize(id, {
      vcpuCount: options.vcpuCount,
      nested: isNested(system, options),
      tscDeadlineTimer: extension(system, Capability.tscDeadlineTimer) !== 0,
    });
    cpuid.apply(vcpu);
  },

  completeVm({ vm, options, routes }, [first]) {
    if (options.irqchip !== 'split') return new X86KernelDevices(vm);
    if (first === undefined) throw new HypervisorError('INVALID_ARGUMENT', 'a machine has at least one vCPU');
    return new SplitDevices(vm, SplitChips.describe(vm, first, routes));
  },

  attachControllers: (descriptor) => new SplitChips(descriptor as SplitChipsDescriptor),

  lineInput: (source) => source,

  privateLineInput() {
    throw new HypervisorError('UNSUPPORTED', 'x86_64 vCPUs have no wired interrupts of their own');
  },

  exits(parts) {
    const { controllers } = parts;
    if (controllers === undefined) return new X86Exits();
    return new SplitExits(parts, new SplitChips(controllers as SplitChipsDescriptor));
  },

  resume(vcpu) {
    try {
      callNumber(vcpu, 'KVM_KVMCLOCK_CTRL');
    } catch (error) {
      // The guest does not use KVM's clock.
      if (!(error instanceof KvmError) || error.errno !== 'EINVAL') throw error;
    }
  },

  stateRegisters: savedMsrs,
  registers: (vcpu) => new X86Registers(vcpu),
  saveVcpu,
  restoreVcpu,
};
