import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runMachine } from './guest.ts';

/** Of Debian's u-boot-qemu, which the lab has for aarch64. */
const U_BOOT = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';

test.runIf(process.arch === 'arm64')(
  "Debian's U-Boot reaches its prompt, reads a disk, and powers off",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tsvmm-firmware-'));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const disk = join(folder, 'disk');
    await writeFile(disk, Buffer.alloc(2 ** 20, 'tsvmm\n'));
    const { status, console, messages } = await runMachine(['--bios', U_BOOT, '--block', `${disk},ro`], {
      // The first is a key that stops it from looking for something to boot.
      prompt: /Hit any key to stop autoboot|^=> /m,
      lines: [
        '',
        'virtio scan',
        'virtio info',
        'virtio read 48000000 1 1',
        'md.b 48000000 6',
        'bdinfo',
        'poweroff',
      ],
    });
    expect(status, console + messages).toBe(0);
    expect(console).toMatch(/^U-Boot 20\d\d/m);
    expect(console).toMatch(/VirtIO Block Device/);
    // The second sector starts with the 512th byte of a text of six.
    expect(console).toMatch(/^48000000: ?(76 6d 6d 0a 74 73)/m);
    expect(console).toMatch(/start\s+= 0x0*40000000/);
  },
);
