import { test } from 'vitest';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';
import { workDevices } from '../../packages/vmm/test/virtio-guest.ts';

// The emulated riscv64 host has one hart, and 1 GiB for it and its guest.
test.runIf(process.arch !== 'riscv64')("Linux's drivers work the devices", async () => {
  // The host has made it: here it is found in the cache that is shared.
  await workDevices(await fetchGuest({ architecture: process.arch }), { kind: 'kvm' });
});
