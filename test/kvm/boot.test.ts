import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runGuest } from './guest.ts';

/** What `uname -m` says, by Node's name of the architecture. */
const MACHINES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
};

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-kvm-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("Debian's kernel on KVM", () => {
  test('boots to a shell with console, disk and random numbers by virtio, and powers off', async () => {
    const disk = join(folder, 'disk');
    await writeFile(disk, Buffer.alloc(2 ** 20, 'tsvmm\n'));
    const { status, console, messages } = await runGuest(
      [
        'uname -m; nproc; tty',
        'head -n 1 /dev/vda',
        'cat /sys/class/misc/hw_random/rng_current; head -c 32 /dev/hwrng | wc -c',
        // Errors and worse.
        'dmesg -r | grep "^<[0-3]>" | sed "s/^/kernel: /"',
        'poweroff',
      ],
      [...['--block', `${disk},ro`], ...['--serial', 'type=stdout,hardware=virtio-console,console,stdin']],
    );
    expect(status, console + messages).toBe(0);
    expect(messages).toContain('KVM');
    expect(console).toMatch(new RegExp(`^${MACHINES[process.arch]}\n1\n/dev/hvc0$`, 'm'));
    expect(console).toMatch(/^tsvmm$/m);
    expect(console).toMatch(/^virtio_rng\.0\n32$/m);
    expect(console).not.toMatch(/^kernel: /m);
  });

  test('tells by the exit status that it was rebooted', async () => {
    expect((await runGuest(['reboot'])).status).toBe(32);
  });

  test('tells by the exit status that it panicked', async () => {
    const { status, messages } = await runGuest([], ['--params', 'rdinit=/nonexistent']);
    expect(status).toBe(34);
    expect(messages).toContain('panic');
  });
});

// The emulated riscv64 host has one hart.
if (process.arch !== 'riscv64') {
  test('a guest of two CPUs runs on both', async () => {
    const { status, console } = await runGuest(['nproc; taskset 2 uname -m', 'poweroff'], ['--cpus', '2']);
    expect(console).toMatch(new RegExp(`^2\n${MACHINES[process.arch]}$`, 'm'));
    expect(status).toBe(0);
  });
}
