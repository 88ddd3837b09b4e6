import { HypervisorError } from '../../errors.ts';
import type { VmOptions } from '../../hypervisor.ts';
import type { AiaOptions } from '../../interrupt-controllers.ts';
import type { Riscv64Platform } from '../../platform.ts';
import type { KernelDevices, KvmArchitecture, KvmState } from '../architecture.ts';
import type { GsiRoute } from '../gsi-routes.ts';
import { Capability, extension, type NativeDevice, native } from '../native.ts';
import { createAia, restoreAia, saveAia } from './aia.ts';
import { Riscv64Exits } from './exits.ts';
import { configureHart, hartPlatform } from './extensions.ts';
import { Riscv64Registers } from './registers.ts';
import { restoreVcpu, saveVcpu } from './state.ts';

/** Where KVM does not say: what Sv39x4 translates. */
const DEFAULT_ADDRESS_BITS = 41;

function aiaOptions({ aia }: VmOptions): AiaOptions {
  if (aia === undefined) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      'a riscv64 machine needs to know where its AIA is: give `aia`',
    );
  }
  return aia;
}

/** APLIC and IMSICs in the kernel. */
class Riscv64KernelDevices implements KernelDevices {
  readonly platform: Riscv64Platform;
  readonly lines: { readonly first: 1; readonly count: number };
  readonly routes: readonly GsiRoute[];
  readonly firstFreeGsi: number;
  // Of an irqfd, KVM here only sets the level to 1 (Linux 6.12, kvm_arch_set_irq_inatomic).
  readonly hasLinePulses = false;
  readonly hasMessages = true;
  readonly #aia: NativeDevice;
  readonly #options: AiaOptions;
  readonly #vcpuCount: number;

  constructor(aia: NativeDevice, options: AiaOptions, vcpuCount: number, platform: Riscv64Platform) {
    const { aplicSources } = options;
    this.#aia = aia;
    this.#options = options;
    this.#vcpuCount = vcpuCount;
    this.platform = platform;
    this.lines = { first: 1, count: aplicSources };
    // As KVM makes them itself when the device is initialized: a GSI is the source of the same number.
    this.routes = Array.from({ length: aplicSources + 1 }, (_, gsi) => ({
      gsi,
      kind: 'irqchip',
      chip: 0,
      pin: gsi,
    }));
    this.firstFreeGsi = aplicSources + 1;
  }

  saveState(): KvmState {
    return saveAia(this.#aia, this.#options, this.#vcpuCount);
  }

  restoreState(state: KvmState): void {
    restoreAia(this.#aia, this.#options, this.#vcpuCount, state);
  }

  [Symbol.dispose](): void {
    native().release(this.#aia);
  }
}

/** KVM on riscv64: AIA, timers and SBI in the kernel. */
export const riscv64: KvmArchitecture = {
  name: 'riscv64',
  // KVM says how many it runs.
  maximumVcpus: 1024,

  addressBits: (system) => extension(system, Capability.riscvAddressBits) || DEFAULT_ADDRESS_BITS,
  hasNesting: () => false,

  machineType(_system, { nested = 'off' }) {
    if (nested === 'on') {
      throw new HypervisorError(
        'UNSUPPORTED',
        'KVM does not let riscv64 guests be hypervisors: leave nesting off',
      );
    }
    return 0;
  },

  prepareVm({ options }) {
    aiaOptions(options);
  },

  prepareVcpu: (_parts, vcpu) => configureHart(vcpu),

  completeVm({ vm, options }, vcpus) {
    const [hart] = vcpus;
    if (hart === undefined) throw new HypervisorError('INVALID_ARGUMENT', 'a machine has at least one vCPU');
    const where = aiaOptions(options);
    const platform: Riscv64Platform = { architecture: 'riscv64', ...hartPlatform(hart) };
    return new Riscv64KernelDevices(createAia(vm, where, vcpus.length), where, vcpus.length, platform);
  },

  lineInput: (source) => source,

  privateLineInput() {
    throw new HypervisorError('UNSUPPORTED', 'riscv64 harts have no wired interrupts of their own');
  },

  registers: (vcpu) => new Riscv64Registers(vcpu),
  exits: ({ pages, ram }) => new Riscv64Exits(pages, ram),
  resume: () => {},
  stateRegisters: () => new Uint32Array(),
  saveVcpu,
  restoreVcpu,
};
