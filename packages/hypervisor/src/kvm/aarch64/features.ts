import { HypervisorError } from '../../errors.ts';
import type { VmOptions } from '../../hypervisor.ts';
import { command, writeAttribute } from '../device-attributes.ts';
import {
  Capability,
  callStructure,
  extension,
  type NativeSystem,
  type NativeVcpu,
  type NativeVm,
} from '../native.ts';

/** Bits of `features` of `struct kvm_vcpu_init` (KVM_ARM_VCPU_*). */
const Feature = {
  powerOff: 0,
  psci02: 2,
  pmuV3: 3,
  sve: 4,
  ptrauthAddress: 5,
  ptrauthGeneric: 6,
  el2: 7,
} as const;

/** Words of `struct kvm_vcpu_init`: the target, then seven of features. */
const INIT_WORDS = 8;
const FEATURES = 1;

/** KVM_ARM_VCPU_PMU_V3_CTRL and its attributes. */
const PMU_GROUP = 0;
const PMU_IRQ = 0n;
const PMU_INIT = 1n;
/** PPI 7, as crosvm has it. */
export const PMU_INTERRUPT = 23;

/** What the vCPUs of a machine have, as far as it is the user's or the host's choice. */
export interface VcpuFeatures {
  readonly el2: boolean;
  readonly pmu: boolean;
  readonly sve: boolean;
}

export function vcpuFeatures(system: NativeSystem, options: VmOptions): VcpuFeatures {
  const has = (capability: Capability) => extension(system, capability) !== 0;
  const { nested = 'off' } = options;
  const el2 = nested !== 'off' && has(Capability.armEl2);
  if (nested === 'on' && !el2) {
    throw new HypervisorError(
      'UNSUPPORTED',
      'the host does not let guests be hypervisors: it needs a CPU with FEAT_NV2 and kvm-arm.mode=nested on the ' +
        "host kernel's command line, or leave nesting off",
    );
  }
  return { el2, pmu: has(Capability.armPmuV3), sve: has(Capability.armSve) };
}

/**
 * KVM_ARM_VCPU_INIT: the CPU that the host's own is nearest to, with PSCI for firmware. vCPUs other than the first are off
 * until the guest turns them on.
 */
export function initializeVcpu(
  system: NativeSystem,
  vm: NativeVm,
  vcpu: NativeVcpu,
  id: number,
  wanted: VcpuFeatures,
) {
  const init = new Uint32Array(INIT_WORDS);
  callStructure(vm, 'KVM_ARM_PREFERRED_TARGET', new Uint8Array(init.buffer));
  // Pointer authentication comes as a whole or not at all.
  const ptrauth =
    extension(system, Capability.armPtrauthAddress) !== 0 &&
    extension(system, Capability.armPtrauthGeneric) !== 0;
  const features: readonly (readonly [number, boolean])[] = [
    [Feature.powerOff, id !== 0],
    [Feature.psci02, true],
    [Feature.pmuV3, wanted.pmu],
    [Feature.sve, wanted.sve],
    [Feature.ptrauthAddress, ptrauth],
    [Feature.ptrauthGeneric, ptrauth],
    [Feature.el2, wanted.el2],
  ];
  init[FEATURES] = features.reduce(
    (bits, [feature, isWanted]) => (isWanted ? bits | (1 << feature) : bits),
    0,
  );
  callStructure(vcpu, 'KVM_ARM_VCPU_INIT', new Uint8Array(init.buffer));
  if (wanted.sve) {
    // With all vector lengths of the host. Nothing of SVE can be read or written before.
    callStructure(vcpu, 'KVM_ARM_VCPU_FINALIZE', new Uint8Array(Uint32Array.of(Feature.sve).buffer));
  }
}

/** Connects the performance monitors to their private interrupt; the interrupt controller must be there. */
export function initializePmu(vcpu: NativeVcpu): void {
  writeAttribute(vcpu, { group: PMU_GROUP, attribute: PMU_IRQ, size: 4 }, BigInt(PMU_INTERRUPT));
  command(vcpu, PMU_GROUP, PMU_INIT);
}
