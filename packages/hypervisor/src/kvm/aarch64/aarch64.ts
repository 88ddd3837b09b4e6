import { HypervisorError } from '../../errors.ts';
import type { GicOptions } from '../../interrupt-controllers.ts';
import type { Aarch64Platform } from '../../platform.ts';
import type { KernelDevices, KvmArchitecture, KvmState, MachineParts } from '../architecture.ts';
import type { GsiRoute } from '../gsi-routes.ts';
import { Capability, enableCapability, extension, type NativeVcpu } from '../native.ts';
import { readRegister, tryReadRegister } from '../one-register.ts';
import { Aarch64Exits } from './exits.ts';
import { initializePmu, initializeVcpu, PMU_INTERRUPT, vcpuFeatures } from './features.ts';
import { createGic, type Gic, PRIVATE_INTERRUPTS, releaseGic } from './gic.ts';
import { restoreGic, saveGic } from './gic-state.ts';
import { Aarch64Registers, systemRegister } from './registers.ts';
import { restoreVcpu, saveVcpu } from './state.ts';
import { systemRegisterEncoding } from './system-registers.ts';

/** Bits of a guest-physical address when KVM_CREATE_VM is given none. */
const DEFAULT_ADDRESS_BITS = 40;

/** KVM_IRQ_LINE: what kind of interrupt (KVM_ARM_IRQ_TYPE_*), and of which vCPU in two parts. */
const TYPE_SHIFT = 24;
const TYPE_SPI = 1;
const TYPE_PPI = 2;
const VCPU_SHIFT = 16;
const VCPU_HIGH_SHIFT = 28;
/** INTIDs of SGIs, which come before those of PPIs. */
const SOFTWARE_INTERRUPTS = 16;
const PRIVATE_LINES = PRIVATE_INTERRUPTS - SOFTWARE_INTERRUPTS;

/** KVM_REG_ARM_PSCI_VERSION: major version in bits 31:16, minor in 15:0. */
const PSCI_VERSION = 0x6030_0000_0014_0000n;
const MPIDR = 'mpidr_el1';
/** MPIDR_EL1: the affinity fields. */
const AFFINITY = 0xff_00ff_ffffn;

function gicOptions({ options: { gic } }: MachineParts): GicOptions {
  if (gic === undefined) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      'an aarch64 machine needs to know where its GIC is: give `gic`',
    );
  }
  return gic;
}

/** A GIC with the devices of a machine around it. */
class Aarch64KernelDevices implements KernelDevices {
  readonly platform: Aarch64Platform;
  readonly lines: { readonly first: 0; readonly count: number };
  readonly routes: readonly GsiRoute[];
  readonly firstFreeGsi: number;
  readonly hasLinePulses = true;
  readonly hasMessages: boolean;
  readonly #gic: Gic;

  constructor(gic: Gic, sources: number, platform: Aarch64Platform) {
    this.#gic = gic;
    this.platform = platform;
    this.lines = { first: 0, count: sources };
    // As KVM makes them itself when the controller is initialized: a GSI is the pin of the same number.
    this.routes = Array.from({ length: sources }, (_, gsi) => ({ gsi, kind: 'irqchip', chip: 0, pin: gsi }));
    this.firstFreeGsi = sources;
    this.hasMessages = gic.its !== undefined;
  }

  saveState(): KvmState {
    return saveGic(this.#gic, this.lines.count, this.platform.affinities);
  }

  restoreState(state: KvmState): void {
    restoreGic(this.#gic, this.lines.count, this.platform.affinities, state);
  }

  [Symbol.dispose](): void {
    releaseGic(this.#gic);
  }
}

/** KVM on aarch64: GIC, generic timers and PSCI in the kernel. */
export const aarch64: KvmArchitecture = {
  name: 'aarch64',
  // Of GICv3, what KVM itself has; KVM says how many it runs.
  maximumVcpus: 512,

  addressBits: (system) => extension(system, Capability.armIpaSize) || DEFAULT_ADDRESS_BITS,
  hasNesting: (system) => extension(system, Capability.armEl2) !== 0,

  machineType(system) {
    // KVM_VM_TYPE_ARM_IPA_SIZE; kernels that do not know it take 0.
    return extension(system, Capability.armIpaSize);
  },

  prepareVm(parts) {
    gicOptions(parts);
    if (extension(parts.system, Capability.armNoSyndromeToUser) !== 0) {
      enableCapability(parts.vm, Capability.armNoSyndromeToUser);
    }
  },

  prepareVcpu({ system, vm, options }, vcpu, id) {
    initializeVcpu(system, vm, vcpu, id, vcpuFeatures(system, options));
  },

  completeVm(parts, vcpus) {
    using cleanup = new DisposableStack();
    const { system, vm, options } = parts;
    const features = vcpuFeatures(system, options);
    const where = gicOptions(parts);
    const gic = cleanup.adopt(createGic(vm, where, vcpus.length), releaseGic);
    if (features.el2 && gic.version !== 3) {
      throw new HypervisorError(
        'UNSUPPORTED',
        'a guest that is a hypervisor needs a GICv3, which the host has not',
      );
    }
    if (features.pmu) {
      for (const vcpu of vcpus) initializePmu(vcpu);
    }
    const devices = new Aarch64KernelDevices(gic, where.sources, {
      architecture: 'aarch64',
      gicVersion: gic.version,
      hasIts: gic.its !== undefined,
      psci: psciVersion(vcpus),
      psciConduit: features.el2 ? 'smc' : 'hvc',
      ...(features.pmu && { pmuInterrupt: PMU_INTERRUPT }),
      hasEl2: features.el2,
      affinities: vcpus.map(affinityOf),
    });
    cleanup.move();
    return devices;
  },

  lineInput: (source) => (TYPE_SPI << TYPE_SHIFT) | (PRIVATE_INTERRUPTS + source),

  privateLineInput(vcpu, source) {
    if (!Number.isInteger(source) || source < 0 || source >= PRIVATE_LINES) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `there is no private interrupt ${source}: they are numbered from 0 to ${PRIVATE_LINES - 1}`,
      );
    }
    const index = ((vcpu >> 8) << VCPU_HIGH_SHIFT) | ((vcpu & 0xff) << VCPU_SHIFT);
    return (index | (TYPE_PPI << TYPE_SHIFT) | (SOFTWARE_INTERRUPTS + source)) >>> 0;
  },

  registers: (vcpu) => new Aarch64Registers(vcpu),
  exits: ({ pages }) => new Aarch64Exits(pages),
  resume: () => {},
  stateRegisters: () => new Uint32Array(),
  saveVcpu,
  restoreVcpu,
};

/** Kernels before 4.16 do not say: they have 0.2. */
function psciVersion([vcpu]: readonly NativeVcpu[]): Aarch64Platform['psci'] {
  const version = vcpu === undefined ? undefined : tryReadRegister(vcpu, PSCI_VERSION);
  if (version === undefined) return { major: 0, minor: 2 };
  return { major: Number(version >> 16n), minor: Number(version & 0xffffn) };
}

function affinityOf(vcpu: NativeVcpu): number {
  const value = readRegister(vcpu, systemRegister(systemRegisterEncoding(MPIDR) ?? 0));
  return Number(value & AFFINITY);
}
