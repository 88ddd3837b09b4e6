import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { writableCases } from '../src/conformance/index.ts';
import { convertDisk, createDisk, FileStorage, openDisk } from '../src/index.ts';
import { pattern } from './support/model.ts';
import { Folder, qemuCheck, qemuImg } from './support/qemu.ts';

const MIB = 2 ** 20;
/** Making loop devices takes root, and a kernel that has them. */
const hasLoopDevices = spawnSync('losetup', ['--find']).status === 0 && process.getuid?.() === 0;

/** A file that is a block device too. */
class LoopDevice implements Disposable {
  readonly file: string;
  readonly path: string;

  constructor(folder: Folder, size: number) {
    this.file = folder.file('backing');
    closeSync(openSync(this.file, 'w'));
    truncateSync(this.file, size);
    this.path = execFileSync('losetup', ['--find', '--show', this.file], { encoding: 'utf8' }).trim();
  }

  [Symbol.dispose](): void {
    execFileSync('losetup', ['--detach', this.path]);
  }
}

describe.runIf(hasLoopDevices)('a block device', () => {
  for (const direct of [false, true]) {
    describe(direct ? 'past the page cache' : 'through the page cache', () => {
      test.each(writableCases)('$name', async ({ run }) => {
        using folder = new Folder();
        using device = new LoopDevice(folder, MIB);
        const reopen = () => openDisk(device.path, { writable: true, format: 'raw', direct });
        await run({
          async create(contents) {
            const disk = await reopen();
            await disk.write(0, contents);
            return disk;
          },
          reopen,
        });
      });
    });
  }

  test('has its size, which is fixed', async () => {
    using folder = new Folder();
    using device = new LoopDevice(folder, 5 * MIB);
    await using disk = await openDisk(device.path, { writable: true });
    expect(disk.size).toBe(5 * MIB);
    await expect(disk.resize(6 * MIB)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('gives back what is discarded, and zeroes what is zeroed, to the byte', async () => {
    using folder = new Folder();
    using device = new LoopDevice(folder, 4 * MIB);
    const bytes = pattern(0, 4 * MIB, 3);
    {
      await using disk = await openDisk(device.path, { writable: true, format: 'raw' });
      await disk.write(0, bytes);
      await disk.flush();
      const before = statSync(device.file).blocks;
      await disk.discard(MIB + 100, 2 * MIB);
      await disk.flush();
      expect(statSync(device.file).blocks).toBeLessThan(before - 3000);
      await disk.write(0, bytes);
      await disk.writeZeroes(1000, MIB);
      bytes.fill(0, 1000, 1000 + MIB);
    }
    expect(Buffer.compare(readFileSync(device.path), bytes)).toBe(0);
  });

  test('holds a qcow2 image, until it is full', async () => {
    using folder = new Folder();
    using device = new LoopDevice(folder, 2 * MIB);
    {
      await using disk = await createDisk(device.path, { format: 'qcow2', size: 8 * MIB });
      await disk.write(0, new Uint8Array(MIB).fill(1));
      await disk.flush();
      await expect(disk.write(2 * MIB, new Uint8Array(3 * MIB).fill(2))).rejects.toMatchObject({
        code: 'OUT_OF_RANGE',
        message: expect.stringContaining('is full'),
      });
      await disk.write(100, new Uint8Array(1000).fill(3));
    }
    const { corruptions = 0, leaks = 0 } = qemuCheck(device.path);
    expect({ corruptions, leaks }).toEqual({ corruptions: 0, leaks: 0 });
  });

  test('is converted to, over what it had before', async () => {
    using folder = new Folder();
    using device = new LoopDevice(folder, 4 * MIB);
    writeFileSync(device.path, pattern(0, 4 * MIB, 9));
    const raw = new Uint8Array(3 * MIB);
    raw.set(pattern(0, 100_000, 1), MIB);
    writeFileSync(folder.file('raw'), raw);
    await convertDisk(folder.file('raw'), device.path, { destination: { format: 'raw' } });
    const written = readFileSync(device.path).subarray(0, raw.length);
    expect(Buffer.compare(written, raw)).toBe(0);
    await convertDisk(folder.file('raw'), device.path, { destination: { format: 'qcow2' } });
    expect(qemuImg('compare', folder.file('raw'), device.path)).toContain('identical');
  });

  test('that is in use is refused', async () => {
    using folder = new Folder();
    using device = new LoopDevice(folder, MIB);
    await using _holder = FileStorage.open(device.path, { writable: true });
    expect(() => FileStorage.open(device.path)).toThrow(expect.objectContaining({ code: 'LOCKED' }));
  });
});
