import { HypervisorError } from './errors.ts';
import type { Architecture, Hypervisor } from './hypervisor.ts';
import { SoftHypervisor } from './soft/soft-hypervisor.ts';

/** A hypervisor, and in one line why it is this one. */
export interface Selection {
  readonly hypervisor: Hypervisor;
  readonly reason: string;
}

/**
 * Chooses the hypervisor for a guest.
 *
 * @param wanted the kind, or `auto` for the best this host has
 * @throws HypervisorError UNAVAILABLE when `wanted` cannot be had here, UNSUPPORTED when it does not run such guests
 */
export function selectHypervisor(wanted: 'auto' | 'soft' | 'kvm', architecture: Architecture): Selection {
  if (wanted === 'kvm') {
    throw new HypervisorError(
      'UNAVAILABLE',
      'KVM is not built yet: leave --hypervisor out, or use --hypervisor soft',
    );
  }
  const hypervisor = new SoftHypervisor();
  if (!hypervisor.architectures.includes(architecture)) {
    throw new HypervisorError(
      'UNSUPPORTED',
      `no hypervisor here runs ${architecture} guests yet: use a kernel for ${hypervisor.architectures.join(', ')}`,
    );
  }
  return {
    hypervisor,
    reason:
      wanted === 'soft'
        ? 'software CPU, as asked for'
        : 'software CPU: it is the only hypervisor built so far',
  };
}
