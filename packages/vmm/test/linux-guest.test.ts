import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, stat, truncate, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchGuest, type Guest } from '@tsvmm/guest-image';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VirtualMachineConfiguration } from '../src/configuration/configuration.ts';
import { VirtualMachine, type VmExit } from '../src/virtual-machine.ts';

const MIB = 2 ** 20;

let guest: Guest;
let folder: string;

beforeAll(async () => {
  guest = await fetchGuest({ architecture: 'riscv64' });
  folder = await mkdtemp(join(tmpdir(), 'tsvmm-vmm-'));
}, 300_000);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Boots Debian, types lines at its console, and waits for its end. */
async function boot(
  name: string,
  lines: readonly string[],
  configuration: Partial<VirtualMachineConfiguration>,
): Promise<{ readonly exit: VmExit; readonly output: string }> {
  const path = join(folder, `${name}.log`);
  {
    await using vm = await VirtualMachine.create({
      kernel: guest.kernel,
      initrd: guest.initrd,
      serials: [{ type: 'file', path, console: true, stdin: true }],
      ...configuration,
    });
    await vm.start();
    await vm.console?.input.write(new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')));
    const exit = await vm.exit;
    return { exit, output: await readFile(path, 'latin1') };
  }
}

describe('an unmodified Debian guest', () => {
  it('runs on two harts and sees its disk as the host does', async () => {
    const disk = join(folder, 'disk.img');
    const before = Buffer.alloc(4 * MIB, 'tsvmm ');
    await writeFile(disk, before);
    const { exit, output } = await boot(
      'two-harts',
      [
        'uname -m; grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online',
        'md5sum /dev/vda; cat /sys/block/vda/serial; echo',
        'dd if=/dev/zero of=/dev/vda bs=64k seek=2 count=3 conv=fsync',
        'head -c 32 /dev/hwrng | wc -c',
        'poweroff -f',
      ],
      {
        cpus: { count: 2 },
        blocks: [{ path: disk, id: 'tsvmm-disk' }],
        // What was typed before Linux has a driver for it is not lost.
        serials: [
          {
            type: 'file',
            path: join(folder, 'two-harts.log'),
            hardware: 'virtio-console',
            console: true,
            stdin: true,
          },
        ],
      },
    );
    expect(exit.kind).toBe('stop');
    expect(output).toMatch(/^riscv64\r?\n2\r?\n0-1\r?$/m);
    expect(output).toContain(createHash('md5').update(before).digest('hex'));
    expect(output).toContain('tsvmm-disk');
    expect(output).toMatch(/^32\r?$/m);
    const expected = Buffer.from(before);
    expected.fill(0, 2 * 65_536, 5 * 65_536);
    expect(Buffer.compare(await readFile(disk), expected)).toBe(0);
  });

  it('uses packed rings and images of other formats, and sees a disk grow', async () => {
    const [raw, qcow2, log] = ['packed.img', 'packed.qcow2', 'packed.log'].map((name) => join(folder, name));
    if (!raw || !qcow2 || !log) throw new Error('three names make three paths');
    const before = randomBytes(4 * MIB);
    await writeFile(raw, before);
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, qcow2]);
    const messages: string[] = [];
    await using vm = await VirtualMachine.create(
      {
        kernel: guest.kernel,
        initrd: guest.initrd,
        serials: [{ type: 'file', path: log, console: true, stdin: true }],
        blocks: [
          { path: qcow2, packedQueue: true },
          { path: raw, asyncExecutor: 'epoll' },
        ],
      },
      { log: ({ message }) => messages.push(message) },
    );
    await vm.start();
    const type = async (...lines: readonly string[]) =>
      await vm.console?.input.write(new TextEncoder().encode(`${lines.join('\n')}\n`));
    const shown = async (text: string | RegExp) => {
      for await (const _change of watch(log, { signal: AbortSignal.timeout(60_000) })) {
        if ((await readFile(log, 'latin1')).match(text)) return;
      }
    };
    const ready = shown(/ready-\d+/);
    await type(
      // The 35th character from the left is feature bit 34, RING_PACKED.
      'cut -c35 /sys/block/vda/device/features | sed s/^/packed-/',
      'md5sum /dev/vda; dd if=/dev/vda of=/dev/vdb bs=256k conv=fsync; dd if=/dev/zero of=/dev/vda bs=64k seek=3 count=9 conv=fsync',
      'echo ready-$((40 + 2))',
    );
    await Promise.race([ready, vm.exit]);
    await vm.resizeDisk(1, 8 * MIB);
    await type(
      'while [ $(cat /sys/block/vdb/size) != 16384 ]; do :; done; echo grown-$(cat /sys/block/vdb/size)',
      'poweroff -f',
    );
    expect((await vm.exit).kind).toBe('stop');
    await vm[Symbol.asyncDispose]();
    const output = await readFile(log, 'latin1');
    expect(output).toMatch(/^packed-1\r?$/m);
    expect(output).toContain(createHash('md5').update(before).digest('hex'));
    expect(output).toMatch(/^grown-16384\r?$/m);
    expect(messages).toContainEqual(expect.stringMatching(/packed\.img does its I\/O on epoll/));
    expect((await readFile(raw)).subarray(0, 4 * MIB).equals(before)).toBe(true);
    expect((await stat(raw)).size).toBe(8 * MIB);
    execFileSync('qemu-img', ['check', '-q', qcow2]);
    execFileSync('qemu-img', ['convert', '-O', 'raw', qcow2, raw]);
    before.fill(0, 3 * 65_536, 12 * 65_536);
    expect((await readFile(raw)).equals(before)).toBe(true);
  });

  it('reports the panic of its kernel with the reason', async () => {
    const { exit } = await boot('panic', [], { params: ['rdinit=/nonexistent', 'quiet'] });
    expect(exit).toEqual({ kind: 'panic', reason: expect.stringContaining('Unable to mount root fs') });
  });

  it('is not started from a kernel that broke off while it was copied', async () => {
    const kernel = join(folder, 'broken-off');
    await copyFile(guest.kernel, kernel);
    await truncate(kernel, (await stat(kernel)).size - 1);
    await expect(VirtualMachine.create({ kernel, serials: [{ type: 'sink' }] })).rejects.toMatchObject({
      name: 'KernelImageError',
      code: 'TRUNCATED',
    });
  });
});
