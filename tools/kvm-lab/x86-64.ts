import { dirname } from 'node:path';
import type { LabPlatform } from './platform.ts';

/**
 * A machine that never runs. With the first one, and again when the last one goes, KVM patches code that the kernel
 * executes at each switch of tasks; between the steps it has a breakpoint there, which QEMU's threads now and then still
 * meet when it is gone ("Oops: int3" in __schedule). As long as there is a machine, nothing is patched.
 */
const MACHINE_THAT_STAYS = [
  ...['qemu-system-x86_64', '-accel', 'kvm', '-cpu', 'host', '-m', '16'],
  ...['-nodefaults', '-display', 'none', '-S'],
];

/**
 * L1 has the host's own root: the checkout, its Node and its add-ons run in it as they are. QEMU emulates AMD's SVM with
 * nested paging, and no VMX.
 */
export const x86Platform: LabPlatform = {
  architecture: 'x86_64',
  debianArchitecture: 'amd64',
  cpus: 2,
  kvmModules: ['kvm_amd'],
  console: 'ttyS0',
  // A host that has much to do may see too few of the ticks that are looked for.
  kernelParameters: ['no_timer_check'],
  prepare: async () => ({
    emulator: ['qemu-system-x86_64', '-machine', 'q35', '-cpu', 'max'],
    root: '/',
    shared: [],
    environment: {
      PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    },
    node: process.execPath,
    companion: MACHINE_THAT_STAYS,
  }),
};
