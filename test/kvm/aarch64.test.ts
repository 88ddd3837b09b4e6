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

  test('finds its files and its flash, and what it writes there is read by the next machine', async () => {
    const flash = join(folder, 'flash');
    await writeFile(flash, '');
    await truncate(flash, 64 * 2 ** 20);
    const file = ['--fw-cfg', 'name=opt/org.example/test,string=contents'];
    // What `saveenv` does, with less than 256 KiB: each word of the buffer is an exit.
    const lines = ['qfw list', 'mw.b 48000000 5a 100', 'erase 4080000 +20000', 'cp.b 48000000 4080000 100'];
    const first = await uBoot(['--pflash', flash, ...file], lines);
    expect(first.console).toMatch(/^[0-9a-f]+ opt\/org\.example\/test/m);
    expect(first.console).toMatch(/Erased 1 sectors/);
    const second = await uBoot(['--pflash', flash], ['md.b 40800fc 8']);
    expect(second.console).toMatch(/^040800fc: 5a 5a 5a 5a ff ff ff ff/m);
  });
});
