import { fetchGuest } from '@tsvmm/guest-image';
import { test } from 'vitest';
import { workDevices } from './virtio-guest.ts';

test("Linux's drivers work the devices", { timeout: 300_000 }, async () => {
  await workDevices(await fetchGuest({ architecture: 'riscv64' }), { kind: 'soft' });
});
