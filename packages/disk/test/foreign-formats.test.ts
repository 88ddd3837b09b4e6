import { readFileSync, writeFileSync } from 'node:fs';
import { crc32c } from '@tsvmm/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DiskError, type Format, MemoryStorage, mapDisk, openDisk } from '../src/index.ts';
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
    await using disk = await openDisk(image);
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

/** Makes checksums right again, so that changes get further. */
function seal(bytes: Buffer): void {
  for (const [at, length] of [
    [64 * 1024, 4096],
    [128 * 1024, 4096],
    [192 * 1024, 65_536],
    [256 * 1024, 65_536],
  ] as const) {
    if (at + length > bytes.length || !/^(head|regi)$/.test(bytes.toString('latin1', at, at + 4))) continue;
    bytes.writeUInt32LE(0, at + 4);
    bytes.writeUInt32LE(~crc32c(0xffff_ffff, bytes, at, at + length) >>> 0, at + 4);
  }
  sealVhd(bytes, 0, 512, 64, 'conectix');
  sealVhd(bytes, 512, 1024, 36, 'cxsparse');
  sealVhd(bytes, bytes.length - 512, 512, 64, 'conectix');
}

function sealVhd(bytes: Buffer, start: number, length: number, checksum: number, cookie: string): void {
  if (start < 0 || start + length > bytes.length || bytes.toString('latin1', start, start + 8) !== cookie)
    return;
  bytes.writeUInt32BE(0, start + checksum);
  const sum = bytes.subarray(start, start + length).reduce((total, byte) => total + byte, 0);
  bytes.writeUInt32BE(~sum >>> 0, start + checksum);
}

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
  sealVhd(child, 512, 1024, 36, 'cxsparse');
  writeFileSync(folder.file('child.vhd'), child);
  await expect(openDisk(folder.file('child.vhd'))).rejects.toMatchObject({ code: 'BAD_IMAGE' });
});

/** A differencing image by Microsoft's specification, that has some sectors of the first block. */
function differencingVhd(parent: Buffer, name: string, sectors: readonly number[], sector: Buffer): Buffer {
  const footer = Buffer.from(parent.subarray(parent.length - 512));
  const header = Buffer.from(parent.subarray(512, 1536));
  const uniqueId = footer.subarray(68, 84);
  const blockLength = header.readUInt32BE(32);
  const tableLength = Math.ceil((header.readUInt32BE(28) * 4) / 512) * 512;
  const [tableOffset, locatorOffset] = [1536, 1536 + tableLength];
  const blockOffset = locatorOffset + 512;
  const bitmapLength = Math.ceil(blockLength / 512 / 8 / 512) * 512;
  header.set(uniqueId, 40);
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  const locator = Buffer.from(name, 'utf16le');
  header.writeUInt32BE(0x57327275, 576);
  header.writeUInt32BE(1, 580);
  header.writeUInt32BE(locator.length, 584);
  header.writeBigUInt64BE(BigInt(locatorOffset), 592);
  footer.fill(9, 68, 84);
  footer.writeUInt32BE(4, 60);
  footer.writeBigUInt64BE(512n, 16);
  const image = Buffer.alloc(blockOffset + bitmapLength + blockLength + 512);
  image.set(footer, 0);
  image.set(header, 512);
  image.fill(0xff, tableOffset, tableOffset + tableLength);
  image.writeUInt32BE(blockOffset / 512, tableOffset);
  image.set(locator, locatorOffset);
  for (const index of sectors) {
    const at = blockOffset + (index >> 3);
    image[at] = (image[at] ?? 0) | (0x80 >> (index & 7));
    image.set(sector, blockOffset + bitmapLength + index * 512);
  }
  image.set(footer, image.length - 512);
  sealVhd(image, 0, 512, 64, 'conectix');
  sealVhd(image, 512, 1024, 36, 'cxsparse');
  sealVhd(image, image.length - 512, 512, 64, 'conectix');
  return image;
}

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
