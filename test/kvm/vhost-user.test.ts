import { test } from 'vitest';
import { killDiskServers } from '../../packages/cli/test/support/disk-servers.ts';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';

// The other architectures' hosts have no qemu-storage-daemon.
test.runIf(process.arch === 'x64')(
  'a guest reads and writes the disks of two other programs, which are killed and started again meanwhile',
  async () => {
    await killDiskServers(await fetchGuest({ architecture: process.arch }), 'kvm');
  },
);
