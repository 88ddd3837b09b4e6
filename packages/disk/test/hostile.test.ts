import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkQcow2,
  createCompositeDisk,
  createDisk,
  DiskError,
  formatQcow2,
  MemoryStorage,
  openDisk,
} from '../src/index.ts';
import { androidSparse, zstdSeekable } from './support/builders.ts';
import { pattern } from './support/model.ts';
import { Folder, qemuImg, qemuIo } from './support/qemu.ts';

const RUNS = 25 * Number(process.env.TSVMM_DISK_RUNS ?? 2);

/** Places in an image that an attacker would choose, and what to put there. */
function mutations(
  length: number,
  tables: readonly number[],
): fc.Arbitrary<readonly (readonly [number, Uint8Array])[]> {
  const place = fc.oneof(
    fc.nat(Math.min(length, 128) - 1),
    fc.nat(length - 1),
    ...(tables.length > 0
      ? [fc.tuple(fc.constantFrom(...tables), fc.nat(80)).map(([at, by]) => at + by)]
      : []),
  );
  const value = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.constantFrom(0, 1, 0x7f, 0x80, 0xff).map((byte) => Uint8Array.of(byte)),
    fc.constantFrom(
      Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(0x80, 0, 0, 0, 0, 1, 0, 0),
      Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0),
    ),
  );
  return fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 });
}

async function refusesOrWorks(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
  }
}

/** Opens an image, reads some of it, changes some of it, and closes it. */
async function use(bytes: Uint8Array, others: ReadonlyMap<string, Uint8Array> = new Map()): Promise<void> {
  const files = new Map([...others, ['image', bytes]]);
  const open = async (writable: boolean) =>
    await openDisk('image', {
      writable,
      l2CacheBytes: 0,
      openStorage: (path) => {
        const file = files.get(path.replace(/^.*\//, ''));
        if (!file) throw new DiskError('OPEN_FAILED', path);
        return MemoryStorage.from(file, path);
      },
    });
  for (const writable of [false, true]) {
    await refusesOrWorks(async () => {
      await using disk = await open(writable);
      for (const part of [0, 0.2, 0.5, 1]) {
        const length = Math.min(disk.size, 100_000);
        const position = Math.floor((disk.size - length) * part);
        await refusesOrWorks(() => disk.read(position, new Uint8Array(length)));
        if (length > 0) await refusesOrWorks(() => disk.extentAt(position));
        if (!writable) continue;
        await refusesOrWorks(() => disk.write(position, new Uint8Array(Math.min(length, 5000)).fill(3)));
        await refusesOrWorks(() => disk.discard(position, Math.min(length, 70_000)));
      }
      if (writable) await refusesOrWorks(() => disk.flush());
    });
  }
}

test.each([[''], ['extended_l2=on,cluster_size=16k'], ['cluster_size=512,refcount_bits=1'], ['compat=0.10']])(
  'a qcow2 image that was tampered with is refused or used: %s',
  async (options) => {
    using folder = new Folder();
    const path = folder.file('image');
    qemuImg('create', '-q', '-f', 'qcow2', ...(options ? ['-o', options] : []), path, '1M');
    qemuIo(path, ['write -P 1 0 200k', 'write -z 512k 128k', 'write -c -P 2 768k 64k']);
    if (!options.includes('refcount_bits=1')) qemuImg('snapshot', '-c', 'before', path);
    const image = readFileSync(path);
    const l1 = Number(image.readBigUInt64BE(40));
    const refcounts = Number(image.readBigUInt64BE(48));
    const l2 = Number(image.readBigUInt64BE(l1) & 0xff_ffff_ffff_fe00n);
    await fc.assert(
      fc.asyncProperty(
        mutations(image.length, [l1, l2, refcounts, Number(image.readBigUInt64BE(refcounts))]),
        async (changes) => {
          const bytes = Uint8Array.from(image);
          for (const [at, value] of changes) bytes.set(value.subarray(0, bytes.length - at), at);
          await use(bytes);
          await refusesOrWorks(() => checkQcow2(MemoryStorage.from(bytes)));
          await refusesOrWorks(() => checkQcow2(MemoryStorage.from(bytes), { repair: 'all' }));
        },
      ),
      { numRuns: RUNS },
    );
  },
);

test('images of the other formats that were tampered with are refused or used', async () => {
  using folder = new Folder();
  const contents = pattern(0, 100_000, 1);
  contents.fill(0, 20_000, 60_000);
  await (await createDisk(folder.file('part'), { format: 'raw', size: 8192 }))[Symbol.asyncDispose]();
  await createCompositeDisk(folder.file('disk'), [{ label: 'part', path: folder.file('part') }]);
  const others = new Map(
    ['disk.header', 'disk.footer', 'part'].map((name) => [name, readFileSync(folder.file(name))]),
  );
  const images = [
    androidSparse(contents),
    zstdSeekable(contents, 30_000),
    zstdSeekable(contents, 100_000, true),
    readFileSync(folder.file('disk')),
  ];
  for (const image of images) {
    await fc.assert(
      fc.asyncProperty(mutations(image.length, [Math.max(0, image.length - 90)]), async (changes) => {
        const bytes = Uint8Array.from(image);
        for (const [at, value] of changes) bytes.set(value.subarray(0, bytes.length - at), at);
        await use(bytes, others);
      }),
      { numRuns: RUNS },
    );
  }
});

test('an entry that points into the header marks the image corrupt instead of destroying it', async () => {
  const storage = new MemoryStorage();
  await formatQcow2(storage, { size: 2 ** 20 });
  const options = { writable: true, openStorage: () => storage };
  {
    await using disk = await openDisk('image', options);
    await disk.write(0, Uint8Array.of(1));
  }
  const bytes = storage.toBytes();
  const view = new DataView(bytes.buffer);
  const l2 = Number(view.getBigUint64(Number(view.getBigUint64(40))) & 0xff_ffff_ffff_fe00n);
  storage.writeBytes(l2, Uint8Array.of(0x80, 0, 0, 0, 0, 1, 0, 0));
  {
    await using disk = await openDisk('image', options);
    await expect(disk.write(0, Uint8Array.of(2))).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(disk.write(2 ** 19, Uint8Array.of(2))).rejects.toMatchObject({ code: 'CORRUPT' });
  }
  await expect(openDisk('image', options)).rejects.toMatchObject({ code: 'CORRUPT' });
});
