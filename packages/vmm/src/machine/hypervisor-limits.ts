import type { BoardOptions } from '@tsvmm/arch';
import type { Hypervisor } from '@tsvmm/hypervisor';
import type { IrqchipConfiguration } from '../configuration/board.ts';
import type { ResolvedConfiguration } from '../configuration/configuration.ts';
import { ConfigurationError } from '../configuration/error.ts';

const MIB = 2 ** 20;

/** @throws ConfigurationError OUT_OF_RANGE naming what the hypervisor has not enough of */
export function checkLimits({ memory, cpus }: ResolvedConfiguration, hypervisor: Hypervisor): void {
  const { kind, maximumRam, maximumVcpus } = hypervisor;
  if (memory.sizeMiB * MIB > maximumRam) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'memory',
      `the ${kind} hypervisor gives a guest up to ${maximumRam / MIB} MiB of memory, not ${memory.sizeMiB}`,
    );
  }
  if (cpus.count > maximumVcpus) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'cpus',
      `the ${kind} hypervisor gives a guest up to ${maximumVcpus} CPUs, not ${cpus.count}`,
    );
  }
}

/** @throws ConfigurationError CONFLICT when the hypervisor has its interrupt controllers elsewhere */
export function checkIrqchip({ irqchip }: ResolvedConfiguration, { kind }: Hypervisor): void {
  if (irqchip === undefined || (irqchip.kind === 'userspace') === (kind === 'soft')) return;
  throw new ConfigurationError(
    'CONFLICT',
    'irqchip',
    kind === 'soft'
      ? 'software CPUs have all interrupt controllers in this process: userspace, or leave it out'
      : 'KVM has at least the local interrupt controllers in the kernel: kernel, or on x86_64 split',
  );
}

/** What a board is told of its interrupt controllers. */
export function irqchipOptions(
  irqchip: IrqchipConfiguration | undefined,
): Pick<BoardOptions, 'splitIrqchip' | 'its'> {
  if (irqchip?.kind === 'split') return { splitIrqchip: true };
  if (irqchip?.kind !== 'kernel' || irqchip.allowVgicIts === undefined) return {};
  return { its: irqchip.allowVgicIts };
}
