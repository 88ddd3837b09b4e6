import { fetchGuest, type Guest } from '@tsvmm/guest-image';
import { beforeAll, test } from 'vitest';
import { killDiskServers } from './support/disk-servers.ts';

let guest: Guest;
beforeAll(async () => {
  guest = await fetchGuest({ architecture: 'riscv64' });
}, 300_000);

test('a guest reads and writes the disks of two other programs, which are killed and started again meanwhile', async () => {
  await killDiskServers(guest, 'soft');
}, 300_000);
