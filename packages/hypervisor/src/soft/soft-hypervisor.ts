import { HypervisorError } from '../errors.ts';
import type { Architecture, Capability, Hypervisor, VmOptions } from '../hypervisor.ts';
import type { Vm } from '../vm.ts';
import { SoftVm } from './soft-vm.ts';

const GIB = 2 ** 30;

/** The hypervisor that needs no hardware: software CPUs that translate guest code to WebAssembly. */
export class SoftHypervisor implements Hypervisor {
  readonly kind = 'soft';
  readonly architectures: readonly Architecture[] = ['riscv64'];
  readonly maximumVcpus = 8;
  /** RAM, code and state of all harts share a 32-bit WebAssembly memory. */
  readonly maximumRam = 3 * GIB;
  /** RISC-V has 56, of which these are exact in a number. */
  readonly addressBits = 52;

  has(capability: Capability): boolean {
    return capability === 'foreign-architecture';
  }

  async createVm(options: VmOptions): Promise<Vm> {
    const { architecture, vcpuCount, aia, nested } = options;
    if (!this.architectures.includes(architecture)) {
      throw new HypervisorError(
        'UNSUPPORTED',
        `the software hypervisor does not run ${architecture} guests yet: it runs ${this.architectures.join(', ')}`,
      );
    }
    if (!Number.isInteger(vcpuCount) || vcpuCount < 1 || vcpuCount > this.maximumVcpus) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${vcpuCount} vCPUs: the software hypervisor runs 1 to ${this.maximumVcpus}`,
      );
    }
    const ram = options.ram.reduce((sum, region) => sum + region.size, 0);
    if (ram > this.maximumRam) {
      throw new HypervisorError(
        'NO_RESOURCES',
        `${ram / 2 ** 20} MiB of memory: the software hypervisor has room for ${this.maximumRam / 2 ** 20} MiB`,
      );
    }
    if (nested === 'on') {
      throw new HypervisorError(
        'UNSUPPORTED',
        'software CPUs do not have the hypervisor extension: leave nesting off',
      );
    }
    if (aia === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        'a riscv64 machine needs to know where its AIA is: give `aia`',
      );
    }
    return new SoftVm({ ...options, aia });
  }

  [Symbol.dispose](): void {}
}
