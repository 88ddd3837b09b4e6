import { HypervisorError } from '../errors.ts';
import type { Architecture, Capability as ContractCapability, Hypervisor, VmOptions } from '../hypervisor.ts';
import type { Vm } from '../vm.ts';
import { hostArchitecture, type KvmArchitecture } from './architecture.ts';
import { DEFAULT_DEVICE, explainOpenFailure, hasHardwareVirtualization, hostFacts } from './host.ts';
import { KvmVm } from './kvm-vm.ts';
import { Capability, extension, KvmError, type NativeSystem, native } from './native.ts';

/** What no machine here works without; every kernel since Linux 4.12 has it. */
const REQUIRED = [
  'userMemory',
  'irqchip',
  'irqRouting',
  'irqfd',
  'ioeventfd',
  'ioeventfdAnyLength',
  'signalMsi',
  'immediateExit',
] as const satisfies readonly (keyof typeof Capability)[];

/** Guest-physical addresses of all hosts fit into as many bits, and into a number. */
const ADDRESS_BITS = 52;

/** Linux's hypervisor: guests of the host's own architecture, on the CPU's virtualization extensions. */
export class KvmHypervisor implements Hypervisor {
  readonly kind = 'kvm';
  readonly architectures: readonly Architecture[];
  readonly maximumVcpus: number;
  readonly maximumRam: number;
  readonly addressBits: number;
  /** Whether guest code runs on the CPU itself: on a host without, KVM works but emulates each instruction. */
  readonly isAccelerated: boolean;
  readonly #system: NativeSystem;
  readonly #architecture: KvmArchitecture;

  /**
   * @param device path of KVM's device
   * @throws HypervisorError UNAVAILABLE when it is not there or may not be used, UNSUPPORTED on a host for whose
   * architecture there is no back end; the message names what is missing
   */
  constructor(device = DEFAULT_DEVICE) {
    const architecture = hostArchitecture();
    if (process.platform !== 'linux' || architecture === undefined) {
      throw new HypervisorError(
        'UNSUPPORTED',
        `KVM is for Linux on x86_64, aarch64 and riscv64, this is ${process.platform} on ${process.arch}: use ` +
          '--hypervisor soft',
      );
    }
    using cleanup = new DisposableStack();
    this.#architecture = architecture;
    this.architectures = kvmArchitectures();
    this.isAccelerated = hasHardwareVirtualization(hostFacts());
    this.#system = cleanup.adopt(openSystem(device), native().release);
    const missing = REQUIRED.filter((name) => extension(this.#system, Capability[name]) === 0);
    if (missing.length > 0) {
      throw new HypervisorError(
        'UNAVAILABLE',
        `the kernel's KVM lacks ${missing.join(', ')}: use Linux 4.12 or newer`,
      );
    }
    this.maximumVcpus = Math.min(extension(this.#system, Capability.maximumVcpus), architecture.maximumVcpus);
    this.addressBits = Math.min(architecture.addressBits(this.#system), ADDRESS_BITS);
    this.maximumRam = 2 ** this.addressBits;
    cleanup.move();
  }

  has(capability: ContractCapability): boolean {
    switch (capability) {
      case 'memory-regions':
      case 'dirty-log':
        return true;
      case 'read-only-memory':
        return extension(this.#system, Capability.readOnlyMemory) !== 0;
      case 'interrupt-resampling':
        return extension(this.#system, Capability.irqfdResample) !== 0;
      case 'nested-virtualization':
        return this.#architecture.hasNesting(this.#system);
      case 'foreign-architecture':
        return false;
    }
  }

  async createVm(options: VmOptions): Promise<Vm> {
    const { architecture, vcpuCount } = options;
    if (!this.architectures.includes(architecture)) {
      throw new HypervisorError('UNSUPPORTED', foreignArchitecture(architecture, this.architectures));
    }
    if (!Number.isInteger(vcpuCount) || vcpuCount < 1 || vcpuCount > this.maximumVcpus) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${vcpuCount} vCPUs: KVM runs 1 to ${this.maximumVcpus} here`,
      );
    }
    const ram = options.ram.reduce((sum, region) => sum + region.size, 0);
    if (ram > this.maximumRam) {
      throw new HypervisorError(
        'NO_RESOURCES',
        `${ram / 2 ** 20} MiB of memory: KVM has room for ${this.maximumRam / 2 ** 20} MiB`,
      );
    }
    return new KvmVm(this.#system, this.#architecture, options);
  }

  [Symbol.dispose](): void {
    native().release(this.#system);
  }
}

/** What KVM could run here if it is there: the host's own architecture, or nothing. */
export function kvmArchitectures(): readonly Architecture[] {
  const architecture = hostArchitecture();
  return architecture === undefined ? [] : [architecture.name];
}

/** Why KVM does not run such guests. */
export function foreignArchitecture(architecture: Architecture, own: readonly Architecture[]): string {
  return `KVM runs guests of the host's own architecture only, which is ${own.join(', ')}, not ${architecture}`;
}

function openSystem(device: string): NativeSystem {
  try {
    return native().openSystem(device);
  } catch (cause) {
    if (!(cause instanceof KvmError)) throw cause;
    const explanation =
      cause.call === 'open' ? explainOpenFailure(cause.errno, device, hostFacts()) : cause.message;
    throw new HypervisorError('UNAVAILABLE', explanation, { cause });
  }
}
