import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  createCompositeDisk,
  createDisk,
  diskInfo,
  FileStorage,
  formatQcow2,
  openDisk,
  SegmentList,
} from '../src/index.ts';
import { zstdSeekable } from './support/builders.ts';
import { expectEqual, pattern } from './support/model.ts';
import { Folder, qemuImg } from './support/qemu.ts';

test('the partition table of a composite disk is one that the system knows', async () => {
  using folder = new Folder();
  const guid = '01234567-89AB-CDEF-0123-456789ABCDEF';
  writeFileSync(folder.file('odd'), pattern(0, 5000, 1));
  writeFileSync(folder.file('raw'), pattern(0, 8192, 2));
  await (await createDisk(folder.file('qcow2'), { format: 'qcow2', size: 2 ** 20 }))[Symbol.asyncDispose]();
  await createCompositeDisk(folder.file('disk'), [
    { label: 'odd', path: folder.file('odd'), guid },
    { label: 'qcow2', path: folder.file('qcow2'), writable: true },
    { label: 'raw', path: folder.file('raw'), writable: true },
  ]);
  await using disk = await openDisk(folder.file('disk'), { writable: true });
  const START = 20 * 1024;
  await disk.write(START + 8192 + 2 ** 20 - 3, pattern(0, 8, 3));
  await disk.flush();
  expect(readFileSync(folder.file('raw')).subarray(0, 5)).toEqual(Buffer.from(pattern(0, 8, 3).subarray(3)));
  await expect(disk.write(START, Uint8Array.of(1))).rejects.toMatchObject({ code: 'READ_ONLY' });

  const whole = new Uint8Array(disk.size);
  await disk.read(0, whole);
  writeFileSync(folder.file('whole'), whole);
  expect(Buffer.from(whole.subarray(START, START + 5000))).toEqual(Buffer.from(pattern(0, 5000, 1)));
  const probe = execFileSync('blkid', ['-p', '-o', 'export', folder.file('whole')], { encoding: 'utf8' });
  expect(probe).toContain('PTTYPE=gpt');
  const columns = ['--raw', '--noheadings', '--output', 'START,SECTORS,NAME,UUID'];
  const table = execFileSync('partx', [...columns, folder.file('whole')], { encoding: 'utf8' });
  expect(
    table
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 3)),
  ).toEqual([
    ['40', '16', 'odd'],
    ['56', '2048', 'qcow2'],
    ['2104', '16', 'raw'],
  ]);
  expect(table).toContain(guid.toLowerCase());
  // The table at the end stands in when the first is gone.
  const damaged = whole.slice().fill(0, 512, 1024);
  writeFileSync(folder.file('damaged'), damaged);
  expect(execFileSync('partx', [...columns, folder.file('damaged')], { encoding: 'utf8' })).toBe(table);
});

test('composite disks that cannot be made say why', async () => {
  using folder = new Folder();
  writeFileSync(folder.file('odd'), new Uint8Array(5000));
  const path = folder.file('odd');
  const make = (...parts: Parameters<typeof createCompositeDisk>[1]) =>
    expect(createCompositeDisk(folder.file('disk'), parts)).rejects;
  await make({ label: 'a', path, writable: true }).toMatchObject({ code: 'BAD_OPTION' });
  await make({ label: 'a', path }, { label: 'a', path }).toMatchObject({ code: 'BAD_OPTION' });
  await make({ label: 'a'.repeat(37), path }).toMatchObject({ code: 'BAD_OPTION' });
  await make({ label: 'a', path, guid: 'no' }).toMatchObject({ code: 'BAD_OPTION' });
  await make({ label: 'a', path: folder.file('none') }).toMatchObject({ code: 'OPEN_FAILED' });
});

test('zstd frames larger than what is kept in memory are read in any order', async () => {
  using folder = new Folder();
  const contents = new Uint8Array(20 * 2 ** 20);
  for (let i = 0; i < contents.length; i += 64) contents[i] = (i >> 6) * 37;
  writeFileSync(folder.file('image'), zstdSeekable(contents, contents.length));
  await using disk = await openDisk(folder.file('image'));
  expect(disk.format).toBe('zstd');
  for (const position of [0, 5_000_000, 5_100_000, 100, contents.length - 70_000]) {
    await expectEqual(disk, contents, position, 70_000);
  }
});

test('zstd without a seek table is refused', async () => {
  using folder = new Folder();
  writeFileSync(folder.file('raw'), new Uint8Array(100_000));
  execFileSync('zstd', ['-q', folder.file('raw'), '-o', folder.file('image')]);
  await expect(openDisk(folder.file('image'))).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});

test('images that are in use are refused by both sides', async () => {
  using folder = new Folder();
  const path = folder.file('image');
  await (await createDisk(path, { format: 'qcow2', size: 2 ** 20 }))[Symbol.asyncDispose]();
  {
    await using _disk = await openDisk(path, { writable: true });
    await expect(openDisk(path)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('this process'),
    });
    expect(() => qemuImg('resize', path, '2M')).toThrow(/lock/);
  }
  {
    await using _reader = await openDisk(path);
    await using _other = await openDisk(path);
    await expect(openDisk(path, { writable: true })).rejects.toMatchObject({ code: 'LOCKED' });
    expect(() => qemuImg('resize', path, '2M')).toThrow(/lock/);
  }
  const qemu = spawn('qemu-io', [path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(qemu.stdout, 'data');
  for (const writable of [true, false]) {
    await expect(openDisk(path, { writable })).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining(`process ${qemu.pid} (qemu-io)`),
    });
  }
  await (await openDisk(path, { lock: false }))[Symbol.asyncDispose]();
  qemu.stdin.end('quit\n');
  await once(qemu, 'exit');
  const holder = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await expect(openDisk(path)).rejects.toMatchObject({
    message: expect.stringMatching(/process \d+ \(flock\)/),
  });
  holder.stdin.end('\n');
  await once(holder, 'exit');
  await using _disk = await openDisk(path, { writable: true });
});

test('a disk of 16 TiB takes a few clusters to make and a few reads to open', async () => {
  using folder = new Folder();
  const path = folder.file('image');
  {
    await using storage = FileStorage.open(path, { create: true });
    await formatQcow2(storage, { size: 2 ** 44 });
  }
  let reads = 0;
  await using disk = await openDisk(path, {
    openStorage: (name) => {
      const storage = FileStorage.open(name);
      const read = storage.read.bind(storage);
      storage.read = (position, segments) => {
        reads++;
        return read(position, segments);
      };
      return storage;
    },
  });
  expect(reads).toBeLessThan(6);
  const bytes = new Uint8Array(100);
  await disk.read(2 ** 43, SegmentList.of(bytes));
  expect(await diskInfo(path)).toMatchObject({ format: 'qcow2', size: 2 ** 44 });
});
