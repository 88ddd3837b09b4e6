import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DiskError, type Format, MemoryStorage, mapDisk, openDisk } from '../src/index.ts';
import { differencingVhd, seal, vhdxImage } from './support/microsoft.ts';
import { expectEqual, pattern } from './support/model.ts';
import { Folder, qemuImg, qemuIo } from './support/qemu.ts';

const MIB = 2 ** 20;
const SIZE = 12 * MIB;

/** Data, stored zeroes and holes, not aligned to anything. */
function contents(): Buffer {
  const bytes = Buffer.alloc(SIZE);
  bytes.set(pattern(0, 300_000, 1), 0);
  bytes.set(pattern(0, 3 * MIB, 5), 5 * MIB + 12_345);
  bytes.set(pattern(0, 70_000, 7), SIZE - 70_000);
  return bytes;
}

const SUBFORMATS: readonly (readonly [Format, string])[] = [
  ['vmdk', 'subformat=monolithicSparse'],
  ['vmdk', 'subformat=monolithicFlat'],
  ['vmdk', 'subformat=twoGbMaxExtentSparse'],
  ['vmdk', 'subformat=twoGbMaxExtentFlat'],
  ['vmdk', 'subformat=streamOptimized'],
  ['vmdk', 'subformat=monolithicSparse,zeroed_grain=on'],
  ['vhd', 'subformat=dynamic'],
  ['vhd', 'subformat=dynamic,force_size=on'],
  ['vhd', 'subformat=fixed'],
  ['vhdx', 'subformat=dynamic'],
  ['vhdx', 'subformat=fixed'],
  ['vhdx', 'subformat=dynamic,block_size=1M'],
  ['vhdx', 'subformat=dynamic,block_size=256M'],
];

describe.each(SUBFORMATS)('%s by qemu-img, %s', (format, options) => {
  const name = format === 'vhd' ? 'vpc' : format;

  test('reads as QEMU reads it', async () => {
    using folder = new Folder();
    const bytes = contents();
    writeFileSync(folder.file('raw'), bytes);
    const image = folder.file('image.img');
    qemuImg('convert', '-f', 'raw', '-O', name, '-o', options, folder.file('raw'), image);
    // QEMU, too, takes a fixed VHD for a raw image unless it is told.
    await using disk = await openDisk(image, options === 'subformat=fixed' ? { format } : {});
    expect(disk.format).toBe(format);
    expect(disk.readOnly).toBe(true);
    expect(disk.size).toBe(
      Number(JSON.parse(qemuImg('info', '-f', name, '--output=json', image))['virtual-size']),
    );
    await expectEqual(disk, bytes, 0, SIZE);
    for (const [position, length] of [
      [1, 1],
      [299_999, 2],
      [5 * MIB, 100_000],
      [SIZE - 5, 5],
    ] as const) {
      await expectEqual(disk, bytes, position, length);
    }
    let end = 0;
    let data = 0;
    for await (const extent of mapDisk(disk)) {
      expect(extent.position).toBe(end);
      end += extent.length;
      if (extent.kind === 'data') data += extent.length;
    }
    expect(end).toBe(disk.size);
    if (/Sparse|=dynamic,(force|block_size=1M)/.test(options)) expect(data).toBeLessThan(11 * MIB);
  });
});

/** Those left out are the same as another, but larger. */
const TAMPERED = SUBFORMATS.filter(([format, options]) => format !== 'vhdx' || !/fixed|256M/.test(options));

test.each(TAMPERED)(
  '%s by qemu-img, %s, is refused or used when it was tampered with',
  async (format, options) => {
    const name = format === 'vhd' ? 'vpc' : format;

    using folder = new Folder();
    writeFileSync(folder.file('raw'), pattern(0, 300_000, 3));
    qemuImg('convert', '-f', 'raw', '-O', name, '-o', options, folder.file('raw'), folder.file('image.img'));
    const image = readFileSync(folder.file('image.img'));
    const places = [
      0,
      512,
      21 * 512,
      64 * 1024,
      192 * 1024,
      MIB,
      2 * MIB,
      3 * MIB,
      image.length - 1024,
      image.length - 512,
    ];
    const place = fc.oneof(
      fc.nat(image.length - 1),
      ...places.map((at) => fc.nat(1100).map((more) => Math.max(0, at + more))),
    );
    const change = fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (changes, isSealed) => {
          const bytes = Buffer.from(image);
          for (const [at, value] of changes) {
            if (at < bytes.length) bytes.set(value.subarray(0, bytes.length - at), at);
          }
          if (isSealed) seal(bytes);
          await use(bytes, format);
        },
      ),
      { numRuns: 30 },
    );
  },
);

async function use(bytes: Uint8Array, format: Format): Promise<void> {
  try {
    await using disk = await openDisk('image', {
      format,
      openStorage: (path) => MemoryStorage.from(path === 'image' ? bytes : new Uint8Array(100_000), path),
    });
    for (const position of [0, 1000, Math.floor(disk.size / 2), Math.max(0, disk.size - 100)]) {
      await disk.read(position, new Uint8Array(Math.min(20_000, disk.size - position)));
      if (position < disk.size) await disk.extentAt(position);
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
  }
}

test('VMDK images with a parent read through it, and notice when it is another', async () => {
  using folder = new Folder();
  const bytes = contents();
  writeFileSync(folder.file('raw'), bytes);
  const [base, child] = [folder.file('base.vmdk'), folder.file('child.vmdk')];
  qemuImg('convert', '-f', 'raw', '-O', 'vmdk', folder.file('raw'), base);
  qemuImg('create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', child);
  qemuIo(child, ['write -P 9 1M 70k', 'write -P 3 10M 1k'], ['-f', 'vmdk']);
  qemuImg('convert', '-f', 'vmdk', '-O', 'raw', child, folder.file('expected'));
  {
    await using disk = await openDisk(child);
    await expectEqual(disk, readFileSync(folder.file('expected')));
    expect(await disk.extentAt(0)).toMatchObject({ kind: 'data', depth: 1 });
    expect(await disk.extentAt(MIB)).toMatchObject({ kind: 'data', depth: 0 });
  }
  const changed = readFileSync(base);
  changed.write('CID=12345678', changed.indexOf('CID='), 'latin1');
  writeFileSync(base, changed);
  await expect(openDisk(child)).rejects.toMatchObject({ code: 'BAD_IMAGE' });
});

test('VHD images with a parent read its sectors where they have none', async () => {
  using folder = new Folder();
  const bytes = contents();
  writeFileSync(folder.file('raw'), bytes);
  const base = folder.file('base.vhd');
  qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', folder.file('raw'), base);
  const child = differencingVhd(readFileSync(base), '.\\base.vhd', [1, 2, 5], Buffer.alloc(512, 'new '));
  writeFileSync(folder.file('child.vhd'), child);
  const expected = Buffer.from(bytes);
  for (const sector of [1, 2, 5]) expected.set(Buffer.alloc(512, 'new '), sector * 512);
  await using disk = await openDisk(folder.file('child.vhd'));
  await expectEqual(disk, expected, 0, 10 * MIB);
  expect(await disk.extentAt(512)).toMatchObject({ length: 1024, depth: 0 });
  expect(await disk.extentAt(1536)).toMatchObject({ length: 1024, depth: 1 });
  child.fill(7, 512 + 40, 512 + 56);
  seal(child);
  writeFileSync(folder.file('child.vhd'), child);
  await expect(openDisk(folder.file('child.vhd'))).rejects.toMatchObject({ code: 'BAD_IMAGE' });
});

/** [MS-VHDX] 2.6.2.6.3: linkage is the DataWriteGuid of the parent. */
const linkage = (id: number) => {
  const byte = id.toString(16).padStart(2, '0');
  return `{${[4, 2, 2, 2, 6].map((count) => byte.repeat(count)).join('-')}}`.toUpperCase();
};

test.each([512, 4096] as const)(
  'VHDX images with a parent, and sectors of %i bytes, read its sectors where they have none',
  async (sectorLength) => {
    using folder = new Folder();
    const base = pattern(0, 6 * MIB, 1);
    const chunks = Array.from({ length: 6 }, (_, i) => base.subarray(i * MIB, (i + 1) * MIB));
    const size = 6 * MIB;
    writeFileSync(
      folder.file('base.vhdx'),
      vhdxImage({ size, sectorLength, id: 7, blocks: chunks.map((bytes) => ({ state: 'full', bytes })) }),
    );
    // That the builder follows the specification: another program reads it too.
    if (sectorLength === 512) {
      qemuImg('convert', '-f', 'vhdx', '-O', 'raw', folder.file('base.vhdx'), folder.file('raw'));
      expect(readFileSync(folder.file('raw')).equals(base)).toBe(true);
    }
    const fresh = pattern(0, MIB, 99);
    const sectors = [0, 1, 7, 8, 9, 200, MIB / sectorLength - 1];
    const child = (parent: Readonly<Record<string, string>>) =>
      vhdxImage({
        size,
        sectorLength,
        id: 8,
        parent,
        blocks: [
          { state: 'not-present' },
          { state: 'partial', bytes: fresh, sectors },
          { state: 'full', bytes: fresh },
          { state: 'zero' },
          { state: 'unmapped' },
          { state: 'partial', bytes: fresh, sectors: [3] },
        ],
      });
    const expected = Buffer.from(base);
    const put = (block: number, sector: number) =>
      expected.set(
        fresh.subarray(sector * sectorLength, (sector + 1) * sectorLength),
        block * MIB + sector * sectorLength,
      );
    for (const sector of sectors) put(1, sector);
    put(5, 3);
    expected.set(fresh, 2 * MIB);
    expected.fill(0, 3 * MIB, 5 * MIB);
    const file = folder.file('child.vhdx');
    for (const where of [
      { relative_path: '.\\base.vhdx' },
      { absolute_win32_path: 'C:\\disks\\base.vhdx' },
    ]) {
      writeFileSync(file, child({ parent_linkage: linkage(7), ...where }));
      await using disk = await openDisk(file);
      await expectEqual(disk, expected);
      expect(await disk.extentAt(5)).toMatchObject({ kind: 'data', depth: 1, length: MIB - 5 });
      expect(await disk.extentAt(MIB)).toMatchObject({ kind: 'data', depth: 0, length: 2 * sectorLength });
      expect(await disk.extentAt(MIB + 2 * sectorLength)).toMatchObject({
        depth: 1,
        length: 5 * sectorLength,
      });
      expect(await disk.extentAt(3 * MIB)).toMatchObject({ kind: 'zero', depth: 0 });
    }
    for (const [locator, code] of [
      [{ parent_linkage: linkage(9), relative_path: '.\\base.vhdx' }, 'BAD_IMAGE'],
      [{ parent_linkage: linkage(7) }, 'BAD_IMAGE'],
      [{ parent_linkage: linkage(7), relative_path: '.\\gone.vhdx' }, 'OPEN_FAILED'],
      [{ parent_linkage: linkage(8), relative_path: '.\\child.vhdx' }, 'TOO_DEEP'],
    ] as const) {
      writeFileSync(file, child(locator));
      await expect(openDisk(file)).rejects.toMatchObject({ code });
    }
  },
);

test('a VHDX image whose log has to be replayed is refused', async () => {
  using folder = new Folder();
  const image = folder.file('image');
  qemuImg('create', '-q', '-f', 'vhdx', image, '10M');
  const bytes = readFileSync(image);
  for (const at of [64 * 1024, 128 * 1024]) bytes.fill(5, at + 48, at + 64);
  seal(bytes);
  writeFileSync(image, bytes);
  await expect(openDisk(image)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('log'),
  });
});

test('a large image is opened without reading all of its tables', async () => {
  using folder = new Folder();
  for (const [format, name, options, size] of [
    ['vmdk', 'vmdk', 'subformat=monolithicSparse', '2T'],
    ['vhdx', 'vhdx', 'block_size=1M', '60T'],
  ] as const) {
    const image = folder.file(format);
    qemuImg('create', '-q', '-f', name, '-o', options, image, size);
    await using disk = await openDisk(image);
    const bytes = new Uint8Array(100).fill(1);
    await disk.read(disk.size - 100, bytes);
    expect(bytes).toEqual(new Uint8Array(100));
  }
});
