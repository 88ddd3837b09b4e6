import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runMachine } from './guest.ts';

/** Of Debian's u-boot-qemu, which the lab has for aarch64. */
const U_BOOT = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';

describe.runIf(process.arch === 'arm64')("Debian's U-Boot", () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tsvmm-firmware-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  /** The first line is a key that stops it from looking for something to boot. */
  async function uBoot(options: readonly string[], lines: readonly string[]) {
    const prompt = /Hit any key to stop autoboot|^=> /m;
    const ended = await runMachine(['--bios', U_BOOT, ...options], {
      prompt,
      lines: ['', ...lines, 'poweroff'],
    });
    expect(ended.status, ended.console + ended.messages).toBe(0);
    return ended;
  }

  test('reaches its prompt, reads a disk, and powers off', async () => {
    const disk = join(folder, 'disk');
    await writeFile(disk, Buffer.alloc(2 ** 20, 'tsvmm\n'));
    const { console } = await uBoot(
      ['--block', `${disk},ro`],
      ['virtio scan', 'virtio info', 'virtio read 48000000 1 1', 'md.b 48000000 6', 'bdinfo'],
    );
    expect(console).toMatch(/^U-Boot 20\d\d/m);
    expect(console).toMatch(/VirtIO Block Device/);
    // The second sector starts with the 512th byte of a text of six.
    expect(console).toMatch(/^48000000: ?(76 6d 6d 0a 74 73)/m);
    expect(console).toMatch(/start\s+= 0x0*40000000/);
  });

  test('finds its flash and its files, and what it saves is there in the next machine', async () => {
    const flash = join(folder, 'flash');
    await writeFile(flash, '');
    await truncate(flash, 64 * 2 ** 20);
    const file = ['--fw-cfg', 'name=opt/org.example/test,string=contents'];
    const first = await uBoot(['--pflash', flash, ...file], ['qfw list', 'setenv kept by-tsvmm', 'saveenv']);
    expect(first.console).toMatch(/^[0-9a-f]+ opt\/org\.example\/test/m);
    expect(first.console).toContain('using default environment');
    const second = await uBoot(['--pflash', flash], ['printenv kept']);
    expect(second.console).toMatch(/^kept=by-tsvmm$/m);
    expect(second.console).not.toContain('using default environment');
  });
});
