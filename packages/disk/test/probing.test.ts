import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createCompositeDisk,
  createDisk,
  detectFormat,
  formatQcow2,
  MemoryStorage,
  openDisk,
  SegmentList,
} from '../src/index.ts';
import { androidSparse, zstdSeekable } from './support/builders.ts';
import { vhdxImage } from './support/microsoft.ts';
import { Folder, qemuImg, qemuIo } from './support/qemu.ts';

// What a guest writes to its own raw disk must not decide what that is opened as the next time.

const SIZE = 2 ** 20;

async function qcow2(): Promise<Uint8Array> {
  const storage = new MemoryStorage();
  await formatQcow2(storage, { size: SIZE, backing: { file: '/etc/passwd', format: 'raw' } });
  return storage.toBytes();
}

/** An image that a tool makes. */
function made(format: string, options: string): Uint8Array {
  using folder = new Folder();
  qemuImg('create', '-q', '-f', format, '-o', options, folder.file('image'), String(SIZE));
  return readFileSync(folder.file('image'));
}

async function composite(): Promise<Uint8Array> {
  using folder = new Folder();
  await createCompositeDisk(folder.file('image'), []);
  return readFileSync(folder.file('image'));
}

const STARTS: readonly (readonly [string, () => Promise<Uint8Array>])[] = [
  ['qcow2', qcow2],
  ['composite', composite],
  ['android-sparse', async () => androidSparse(new Uint8Array(8192))],
  ['zstd', async () => zstdSeekable(new Uint8Array(8192), 8192)],
  ['vmdk', async () => made('vmdk', 'subformat=monolithicSparse')],
  ['vmdk', async () => made('vmdk', 'subformat=twoGbMaxExtentSparse')],
  ['vhd', async () => made('vpc', 'subformat=dynamic')],
  ['vhdx', async () => vhdxImage({ size: SIZE, id: 1, blocks: [{ state: 'not-present' }] })],
];

describe.each(STARTS)('the start of a %s image', (format, make) => {
  test('is not written to an image that only looks raw', async () => {
    using folder = new Folder();
    const bytes = (await make()).subarray(0, 8192);
    const path = folder.file('raw');
    await (await createDisk(path, { format: 'raw', size: SIZE }))[Symbol.asyncDispose]();
    {
      await using disk = await openDisk(path, { writable: true });
      const refused = { code: 'FORMAT_UNKNOWN', message: expect.stringContaining(format) };
      await expect(disk.write(0, bytes)).rejects.toMatchObject(refused);
      // Nor in pieces, in any order, at once.
      const pieces = [3, 0, 2, 1].map((i) => disk.write(8 * i, bytes.subarray(8 * i, 8 * i + 8)));
      const outcomes = await Promise.allSettled(pieces);
      expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: refused }]);
      // What is not the start may look like anything, and so may the start look like a file system or partitions.
      await disk.write(512, bytes);
      await disk.write(0, new Uint8Array(8192).fill(7, 440));
    }
    expect(await detectFormat(MemoryStorage.from(readFileSync(path)))).toBe('raw');
    {
      await using disk = await openDisk(path, { writable: true, format: 'raw' });
      await disk.write(0, bytes);
    }
    expect(await detectFormat(MemoryStorage.from(readFileSync(path)))).toBe(format);
  });
});

test('QEMU refuses the same', async () => {
  using folder = new Folder();
  writeFileSync(folder.file('raw'), new Uint8Array(SIZE));
  writeFileSync(folder.file('start'), (await qcow2()).subarray(0, 512));
  expect(() => qemuIo(folder.file('raw'), [`write -s ${folder.file('start')} 0 512`])).toThrow(
    /write operations on block 0 will be restricted/,
  );
  expect(readFileSync(folder.file('raw')).equals(Buffer.alloc(SIZE))).toBe(true);
});

test('parts of a composite disk are raw images like others', async () => {
  using folder = new Folder();
  await (await createDisk(folder.file('part'), { format: 'raw', size: SIZE }))[Symbol.asyncDispose]();
  await createCompositeDisk(folder.file('disk'), [
    { label: 'part', path: folder.file('part'), writable: true },
  ]);
  await using disk = await openDisk(folder.file('disk'), { writable: true });
  const found = readFileSync(folder.file('part'));
  expect(found.length).toBe(SIZE);
  const bytes = (await qcow2()).subarray(0, 512);
  // Partitions start at some multiple of a sector: one of these is the start of the part.
  const writes = Array.from({ length: 256 }, (_, i) => disk.write(34 * 512 + i * 512, bytes).then(() => i));
  const outcomes = await Promise.allSettled(writes);
  expect(
    outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : [])),
  ).toContain('FORMAT_UNKNOWN');
});

test('the footer of a fixed VHD image leaves a raw one what it is, with a warning', async () => {
  using folder = new Folder();
  const path = folder.file('raw.vhd');
  const vhd = made('vpc', 'subformat=fixed,force_size=on');
  writeFileSync(path, new Uint8Array(vhd.length));
  {
    await using disk = await openDisk(path, { writable: true });
    await disk.write(vhd.length - 512, vhd.subarray(vhd.length - 512));
  }
  const warnings: string[] = [];
  await using disk = await openDisk(path, { onWarning: (message) => warnings.push(message) });
  expect(disk.format).toBe('raw');
  expect(disk.size).toBe(vhd.length);
  expect(warnings).toEqual([expect.stringContaining("format 'vhd'")]);
  expect(qemuImg('info', path)).toMatch(/file format: raw/);
  await using fixed = await openDisk(path, { format: 'vhd' });
  expect(fixed.size).toBe(vhd.length - 512);
});

test('images that look raw take all other writes, of any shape', async () => {
  const storage = new MemoryStorage('image');
  storage.resize(4096);
  const model = new Uint8Array(4096);
  await using disk = await openDisk('image', { writable: true, openStorage: () => storage });
  const write = fc.tuple(fc.nat(1200), fc.uint8Array({ maxLength: 1500 }), fc.nat(700));
  await fc.assert(
    fc.asyncProperty(write, async ([position, bytes, split]) => {
      const at = Math.min(split, bytes.length);
      const segments = new SegmentList().setBytes(bytes);
      segments.pairs.set([0, at, at, bytes.length - at]);
      segments.count = 2;
      await disk.write(position, segments);
      model.set(bytes, position);
      expect(storage.toBytes()).toEqual(model);
    }),
  );
});
