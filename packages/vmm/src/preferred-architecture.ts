import { HypervisorError, selectHypervisor } from '@tsvmm/hypervisor';
import type { Architecture, HypervisorConfiguration } from './configuration/configuration.ts';
import { ConfigurationError } from './configuration/error.ts';
import { hostArchitecture } from './machine/boards.ts';

/** What the software CPUs run. */
const SOFT_ARCHITECTURE: Architecture = 'riscv64';

/**
 * The architecture of guests that run best with a hypervisor: the host's own where KVM runs them on its CPU or is asked for,
 * otherwise that of the software CPUs.
 */
export async function preferredArchitecture(
  hypervisor: HypervisorConfiguration = { kind: 'auto' },
): Promise<Architecture> {
  if (hypervisor.kind === 'kvm') return hostArchitecture();
  if (hypervisor.kind === 'soft') return SOFT_ARCHITECTURE;
  try {
    const host = hostArchitecture();
    using selected = (await selectHypervisor('auto', host)).hypervisor;
    return selected.kind === 'kvm' ? host : SOFT_ARCHITECTURE;
  } catch (error) {
    // Nothing here runs the host's own guests, or there are no machines like this host.
    if (error instanceof HypervisorError || error instanceof ConfigurationError) return SOFT_ARCHITECTURE;
    throw error;
  }
}
