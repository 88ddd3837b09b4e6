import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';
import { runGuest, UNCONFINED } from './guest.ts';
import { makeRootDisk } from './root-disk.ts';

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
  test('boots to a shell on a root disk, with console and random numbers by virtio, and powers off', async () => {
    const disk = join(folder, 'root');
    await makeRootDisk(disk, await fetchGuest({ architecture: process.arch }));
    const { status, console, outputs, messages } = await runGuest(
      [
        'uname -m; nproc; tty',
        'mount | grep " / "',
        'cat /sys/class/misc/hw_random/rng_current',
        'head -c 32 /dev/hwrng | wc -c',
        'echo "written by the guest" | md5sum > sum',
        // Errors and worse.
        'dmesg -r | grep "^<[0-3]>"',
        'mount -o remount,ro /; poweroff -f',
      ],
      [
        ...UNCONFINED,
        '--block',
        `${disk},root`,
        ...['--serial', 'type=stdout,hardware=virtio-console,console,stdin'],
      ],
    );
    expect(status, console + messages).toBe(0);
    expect(messages).toContain('KVM');
    expect(outputs.slice(0, 6)).toEqual([
      `${MACHINES[process.arch]}\n1\n/dev/hvc0`,
      expect.stringMatching(/^\/dev\/vda on \/ type ext4 \(rw,/),
      'virtio_rng.0',
      '32',
      '',
      '',
    ]);
    const sum = createHash('md5').update('written by the guest\n').digest('hex');
    expect((await readFile(disk)).includes(sum)).toBe(true);
  });

  test('tells by the exit status that it was rebooted', async () => {
    expect((await runGuest(['reboot'])).status).toBe(32);
  });

  test('tells by the exit status that it panicked', async () => {
    const { status, messages } = await runGuest([], [...UNCONFINED, '--params', 'rdinit=/nonexistent']);
    expect(status).toBe(34);
    expect(messages).toContain('panic');
  });
});

// The emulated riscv64 host has one hart.
if (process.arch !== 'riscv64') {
  test('a guest of two CPUs runs on both, with its devices in processes that are confined', async () => {
    const lines = ['nproc; taskset 2 uname -m', 'poweroff'];
    const { status, outputs, messages } = await runGuest(lines, ['--cpus', '2']);
    expect(outputs[0], messages).toBe(`2\n${MACHINES[process.arch]}`);
    expect(status).toBe(0);
  });
}
