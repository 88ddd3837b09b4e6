import { dirname } from 'node:path';
import type { LabPlatform } from './platform.ts';

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
  prepare: async () => ({
    emulator: ['qemu-system-x86_64', '-machine', 'q35', '-cpu', 'max'],
    root: '/',
    shared: [],
    environment: {
      PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    },
    node: process.execPath,
  }),
};
