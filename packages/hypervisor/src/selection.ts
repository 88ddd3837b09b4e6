import { HypervisorError } from './errors.ts';
import type { Architecture, Hypervisor } from './hypervisor.ts';
import { foreignArchitecture, KvmHypervisor, kvmArchitectures } from './kvm/kvm-hypervisor.ts';

/** A hypervisor, and in one line why it is this one. */
export interface Selection {
  readonly hypervisor: Hypervisor;
  readonly reason: string;
}

export interface SelectionOptions {
  /** Path of KVM's device; /dev/kvm when left out. */
  readonly kvmDevice?: string;
}

/**
 * Chooses the hypervisor for a guest. `auto` is KVM where it can run a stock kernel (its device opens, guest and host have
 * the same architecture, the CPU virtualizes in hardware), and the software hypervisor elsewhere.
 *
 * @param wanted the kind, or `auto` for the best this host has
 * @throws HypervisorError UNAVAILABLE when `wanted` cannot be had here, UNSUPPORTED when it does not run such guests; the
 * message says what is missing
 */
export async function selectHypervisor(
  wanted: 'auto' | 'soft' | 'kvm',
  architecture: Architecture,
  options: SelectionOptions = {},
): Promise<Selection> {
  if (wanted === 'kvm') {
    const hypervisor = openKvm(architecture, options.kvmDevice);
    const speed = hypervisor.isAccelerated ? '' : ', although it emulates the CPU here and is very slow';
    return { hypervisor, reason: `KVM, as asked for${speed}` };
  }
  if (wanted === 'soft') {
    const hypervisor = await openSoft();
    if (!hypervisor.architectures.includes(architecture)) {
      throw new HypervisorError(
        'UNSUPPORTED',
        `the software hypervisor does not run ${architecture} guests yet: use a kernel for ` +
          hypervisor.architectures.join(', '),
      );
    }
    return { hypervisor, reason: 'software CPU, as asked for' };
  }
  return await automatic(architecture, options.kvmDevice);
}

async function automatic(architecture: Architecture, device: string | undefined): Promise<Selection> {
  const kvm = acceleratedKvm(architecture, device);
  if (kvm instanceof KvmHypervisor) {
    return { hypervisor: kvm, reason: `KVM: it runs ${architecture} guests on this host's CPU` };
  }
  const hypervisor = await openSoft();
  if (!hypervisor.architectures.includes(architecture)) {
    throw new HypervisorError(
      'UNSUPPORTED',
      `no hypervisor here runs ${architecture} guests: not KVM, because ${kvm}; not software CPUs, which are for ` +
        hypervisor.architectures.join(', '),
    );
  }
  return { hypervisor, reason: `software CPU, not KVM: ${kvm}` };
}

/** The software CPU is much code, which is loaded for its guests only. */
async function openSoft(): Promise<Hypervisor> {
  const { SoftHypervisor } = await import('./soft/soft-hypervisor.ts');
  return new SoftHypervisor();
}

/** KVM, or why `auto` does not take it. */
function acceleratedKvm(architecture: Architecture, device: string | undefined): KvmHypervisor | string {
  try {
    using cleanup = new DisposableStack();
    const kvm = cleanup.use(openKvm(architecture, device));
    if (!kvm.isAccelerated) {
      return 'the CPU has neither svm nor vmx, so it would emulate each instruction';
    }
    cleanup.move();
    return kvm;
  } catch (error) {
    if (!(error instanceof HypervisorError)) throw error;
    return error.message;
  }
}

function openKvm(architecture: Architecture, device: string | undefined): KvmHypervisor {
  // Before the device is looked at: nothing that could be done about that would help.
  const own = kvmArchitectures();
  if (own.length > 0 && !own.includes(architecture)) {
    throw new HypervisorError('UNSUPPORTED', foreignArchitecture(architecture, own));
  }
  return new KvmHypervisor(device);
}
