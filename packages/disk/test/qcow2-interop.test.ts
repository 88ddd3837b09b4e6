import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  checkQcow2,
  convertDisk,
  createDisk,
  diskInfo,
  FileStorage,
  formatQcow2,
  mapDisk,
  openDisk,
  Qcow2Disk,
  type Qcow2Format,
} from '../src/index.ts';
import { expectEqual, pattern } from './support/model.ts';
import { Folder, qemuCheck, qemuImg, qemuIo } from './support/qemu.ts';

const SIZE = 3 * 2 ** 20 + 512;

function content(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes.set(pattern(0, 700_000, 1), 100_000);
  for (let i = 2 ** 20; i < 2 ** 21; i++) bytes[i] = (i * i) >> 7;
  bytes.set(pattern(0, 512, 9), SIZE - 512);
  return bytes;
}

describe('images that qemu-img made', () => {
  test.each([
    ['-c', '-o', 'compression_type=zlib'],
    ['-c', '-o', 'compression_type=zstd'],
    ['-c', '-o', 'compression_type=zstd,cluster_size=2M'],
    ['-c', '-o', 'cluster_size=512'],
    ['-c', '-o', 'compat=0.10,cluster_size=4k'],
    ['-c', '-o', 'extended_l2=on'],
    ['-o', 'preallocation=metadata'],
    ['-o', 'preallocation=falloc,extended_l2=on'],
  ])('read identically: %s %s %s', async (...options) => {
    using folder = new Folder();
    const model = content();
    writeFileSync(folder.file('raw'), model);
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, folder.file('raw'), folder.file('image'));
    {
      await using disk = await openDisk(folder.file('image'));
      await expectEqual(disk, model);
    }
    await using storage = FileStorage.open(folder.file('image'));
    const ours = await checkQcow2(storage);
    const theirs = qemuCheck(folder.file('image'));
    expect(ours).toMatchObject({
      corruptions: 0,
      leaks: 0,
      totalClusters: theirs['total-clusters'],
      allocatedClusters: theirs['allocated-clusters'] ?? 0,
      compressedClusters: theirs['compressed-clusters'] ?? 0,
      imageEndOffset: theirs['image-end-offset'],
    });
  });

  test('with compressed clusters stay sound when they are written', async () => {
    using folder = new Folder();
    const model = content();
    writeFileSync(folder.file('raw'), model);
    const path = folder.file('image');
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', 'cluster_size=4k', folder.file('raw'), path);
    {
      await using disk = await openDisk(path, { writable: true });
      for (let at = 90_000; at < 900_000; at += 13_001) {
        const bytes = pattern(at, 3000, 77);
        await disk.write(at, bytes);
        model.set(bytes, at);
      }
      await disk.writeZeroes(2 ** 20 + 100, 300_000);
      model.fill(0, 2 ** 20 + 100, 2 ** 20 + 300_100);
      await expectEqual(disk, model);
    }
    expect(qemuCheck(path)).not.toHaveProperty('leaks');
    writeFileSync(folder.file('raw'), model);
    qemuImg('compare', folder.file('raw'), path);
  });

  test('keep their internal snapshots', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, '3M');
    qemuIo(path, ['write -P 1 0 1M', 'write -P 2 2M 64k']);
    qemuImg('snapshot', '-c', 'first', path);
    qemuIo(path, ['write -P 3 512k 4k']);
    qemuImg('snapshot', '-c', 'second', path);
    {
      await using disk = await openDisk(path, { writable: true });
      if (!(disk instanceof Qcow2Disk)) expect.fail();
      expect((await disk.snapshots()).map(({ id, name, diskSize }) => ({ id, name, diskSize }))).toEqual([
        { id: '1', name: 'first', diskSize: 3 * 2 ** 20 },
        { id: '2', name: 'second', diskSize: 3 * 2 ** 20 },
      ]);
      await disk.write(1000, new Uint8Array(700_000).fill(4));
      await disk.writeZeroes(2 * 2 ** 20 + 100, 60_000);
      await disk.discard(900_000, 100_000);
      await disk.resize(4 * 2 ** 20);
      await disk.resize(2 ** 20);
    }
    expect(qemuCheck(path)).not.toHaveProperty('leaks');
    expect(qemuCheck(path)).not.toHaveProperty('corruptions');
    qemuIo(path, ['read -P 4 1000 700000']);
    qemuImg('snapshot', '-a', 'second', path);
    qemuIo(path, ['read -P 3 512k 4k', 'read -P 1 0 512k', 'read -P 2 2M 64k']);
    qemuImg('snapshot', '-a', 'first', path);
    qemuIo(path, ['read -P 1 0 1M', 'read -P 2 2M 64k']);
  });

  test('that were not closed are repaired before they are written', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=4k', path, '8M');
    expect(() => qemuIo(path, ['write -P 5 0 3M', 'flush', 'abort'])).toThrow();
    expect((await diskInfo(path)).qcow2).toMatchObject({ isDirty: true, lazyRefcounts: true });
    const warnings: string[] = [];
    {
      await using disk = await openDisk(path, { writable: true, onWarning: (text) => warnings.push(text) });
      await disk.write(4 * 2 ** 20, new Uint8Array(5000).fill(6));
    }
    expect(warnings).toEqual([expect.stringContaining('not closed properly')]);
    expect(qemuCheck(path)).toMatchObject({ 'check-errors': 0 });
    expect(qemuCheck(path)).not.toHaveProperty('corruptions');
    qemuIo(path, ['read -P 5 0 3M', 'read -P 6 4M 5000']);
  });

  test('that name a backing image without its format say so, and find it beside themselves', async () => {
    using folder = new Folder();
    writeFileSync(folder.file('base'), new Uint8Array(1 << 20).fill(8));
    qemuImg('create', '-q', '-f', 'qcow2', folder.file('middle'), '2M', '-b', 'base', '-F', 'raw');
    const top = ['-f', 'qcow2', '-o', 'compat=0.10', '-b', 'middle', '-F', 'qcow2', folder.file('top'), '3M'];
    qemuImg('create', '-q', ...top);
    // This version of qemu-img records the format; those before 6.1 did not.
    const image = readFileSync(folder.file('top'));
    image.writeUInt32BE(0x1234_5678, image.indexOf(Uint8Array.of(0xe2, 0x79, 0x2a, 0xca)));
    writeFileSync(folder.file('top'), image);
    const warnings: string[] = [];
    await using disk = await openDisk(folder.file('top'), { onWarning: (text) => warnings.push(text) });
    const bytes = new Uint8Array(3 << 20);
    await disk.read(0, bytes);
    expect(bytes.indexOf(0)).toBe(1 << 20);
    expect(warnings).toEqual([expect.stringContaining('middle')]);
    expect(await disk.extentAt(0)).toMatchObject({ kind: 'data', depth: 2 });
  });

  test('that use what is not known are refused by its name', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
    const original = readFileSync(path);
    const patched = (at: number, value: number) => {
      const bytes = Buffer.from(original);
      bytes[at] = value;
      writeFileSync(path, bytes);
    };
    patched(78, 1);
    await expect(openDisk(path)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('bit 8'),
    });
    patched(35, 2);
    await expect(openDisk(path)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('LUKS'),
    });
    patched(79, 2);
    await expect(openDisk(path, { writable: true })).rejects.toMatchObject({ code: 'CORRUPT' });
    await (await openDisk(path))[Symbol.asyncDispose]();
    patched(7, 4);
    await expect(openDisk(path)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('version 4'),
    });
  });

  test('that refer to themselves without end are refused', async () => {
    using folder = new Folder();
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'image', folder.file('image'), '1M');
    await expect(openDisk(folder.file('image'))).rejects.toMatchObject({ code: 'TOO_DEEP' });
  });
});

describe('images that are made here', () => {
  const formats: readonly Omit<Qcow2Format, 'size'>[] = [
    {},
    { version: 2 },
    { clusterSize: 512, refcountBits: 1 },
    { clusterSize: 2 ** 21, refcountBits: 64 },
    { extendedL2: true, lazyRefcounts: true },
    { compressionType: 'zstd', refcountBits: 8 },
    { dataFile: { file: 'data', isRaw: true } },
    { dataFile: { file: 'data' }, clusterSize: 4096 },
  ];
  test.each(formats)('pass qemu-img check, and what QEMU writes reads back: %j', async (format) => {
    using folder = new Folder();
    const path = folder.file('image');
    for (const size of [0, 512, SIZE, 2 ** 34]) {
      // QEMU looks for data files in its working directory.
      const dataFile = format.dataFile && { ...format.dataFile, file: folder.file(format.dataFile.file) };
      const options = { ...format, ...(dataFile ? { dataFile } : {}) };
      await (await createDisk(path, { format: 'qcow2', size, ...options }))[Symbol.asyncDispose]();
      const { leaks = 0, corruptions = 0 } = qemuCheck(path);
      expect({ leaks, corruptions }).toEqual({ leaks: 0, corruptions: 0 });
      expect(JSON.parse(qemuImg('info', '--output=json', path))).toMatchObject({ 'virtual-size': size });
    }
    qemuIo(path, ['write -P 7 5000 300000', 'write -z 64k 64k']);
    await using disk = await openDisk(path);
    const model = new Uint8Array(400_000);
    model.fill(7, 5000, 305_000).fill(0, 65536, 131072);
    await expectEqual(disk, model);
  });

  test.each([
    { format: 'qcow2', compress: true, compressionType: 'zlib' },
    { format: 'qcow2', compress: true, compressionType: 'zstd' },
    { format: 'qcow2', compress: true, compressionType: 'zlib', refcountBits: 1, clusterSize: 4096 },
    { format: 'qcow2', compress: true, compressionType: 'zlib', clusterSize: 512 },
    { format: 'qcow2', compress: false, extendedL2: true },
    { format: 'raw', compress: false },
  ] as const)('by converting are identical to the original: %j', async ({ compress, ...destination }) => {
    using folder = new Folder();
    writeFileSync(folder.file('raw'), content());
    const progress: number[] = [];
    await convertDisk(folder.file('raw'), folder.file('image'), {
      destination,
      compress,
      onProgress: (done) => progress.push(done),
    });
    expect(progress.at(-1)).toBe(SIZE);
    qemuImg('compare', folder.file('raw'), folder.file('image'));
    await convertDisk(folder.file('image'), folder.file('back'), { destination: { format: 'raw' } });
    expect(Buffer.compare(readFileSync(folder.file('back')), content())).toBe(0);
    if (destination.format !== 'qcow2') return;
    const { leaks = 0, corruptions = 0, ...rest } = qemuCheck(folder.file('image'));
    expect({ leaks, corruptions }).toEqual({ leaks: 0, corruptions: 0 });
    expect((rest['compressed-clusters'] ?? 0) > 0).toBe(compress);
  });

  test('map as qemu-img does', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    await (await createDisk(path, { format: 'qcow2', size: 2 ** 24 }))[Symbol.asyncDispose]();
    qemuIo(path, ['write -P 1 1M 192k', 'write -z 4M 1M', 'write -P 1 8M 64k']);
    await using disk = await openDisk(path);
    const ours = [];
    for await (const { position, length, kind, offset } of mapDisk(disk)) {
      ours.push({ start: position, length, data: kind === 'data', offset });
    }
    const theirs = JSON.parse(qemuImg('map', '--output=json', path)) as typeof ours;
    expect(ours.filter(({ data }) => data)).toEqual(
      theirs
        .filter(({ data }) => data)
        .map(({ start, length, data, offset }) => ({ start, length, data, offset })),
    );
  });

  test('grow their refcount table', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    {
      await using storage = FileStorage.open(path, { create: true });
      await formatQcow2(storage, { size: 2 ** 40, clusterSize: 512 }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'BAD_OPTION' });
      });
      await formatQcow2(storage, { size: 2 ** 27, clusterSize: 512, refcountBits: 64 });
    }
    const model = pattern(0, 2_000_000, 3);
    {
      await using disk = await openDisk(path, { writable: true });
      await disk.write(2 ** 26, model);
    }
    expect(qemuCheck(path)).not.toHaveProperty('leaks');
    expect(qemuCheck(path)).not.toHaveProperty('corruptions');
    qemuImg('convert', '-O', 'raw', path, folder.file('out'));
    const out = readFileSync(folder.file('out')).subarray(2 ** 26, 2 ** 26 + model.length);
    expect(Buffer.compare(out, model)).toBe(0);
  });
});

describe('checking', () => {
  test('finds what qemu-img finds, and repairs it', async () => {
    using folder = new Folder();
    const path = folder.file('image');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, '4M');
    qemuIo(path, ['write -P 1 0 1M']);
    const bytes = readFileSync(path);
    // The refcounts of two data clusters: one is lost, one is too high.
    const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
    bytes.writeUInt16BE(0, block + 2 * 50);
    bytes.writeUInt16BE(3, block + 2 * 60);
    writeFileSync(path, bytes);
    const theirs = qemuCheck(path);
    await using storage = FileStorage.open(path, { writable: true });
    const ours = await checkQcow2(storage);
    expect(ours.leaks).toBe(theirs.leaks);
    expect(ours.corruptions).toBe(theirs.corruptions);
    const repaired = await checkQcow2(storage, { repair: 'all' });
    expect(repaired).toMatchObject({ leaks: 0, corruptions: 0, repaired: { leaks: ours.leaks } });
    await storage[Symbol.asyncDispose]();
    expect(qemuCheck(path)).not.toHaveProperty('leaks');
    expect(qemuCheck(path)).not.toHaveProperty('corruptions');
    qemuIo(path, ['read -P 1 0 1M']);
  });
});
