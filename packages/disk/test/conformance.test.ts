import { writeFileSync } from 'node:fs';
import { describe, test } from 'vitest';
import {
  type ConformanceCase,
  type DiskUnderTest,
  readOnlyCases,
  resizableCases,
  writableCases,
} from '../src/conformance/index.ts';
import {
  type CreateDiskOptions,
  createCompositeDisk,
  createDisk,
  type Disk,
  FileStorage,
  formatQcow2,
  MemoryStorage,
  type OpenDiskOptions,
  openDisk,
} from '../src/index.ts';
import { androidSparse, zstdSeekable } from './support/builders.ts';
import { LaterStorage } from './support/later.ts';
import { Folder } from './support/qemu.ts';

interface Subject {
  readonly name: string;
  readonly cases: readonly ConformanceCase[];
  make(folder: Folder): DiskUnderTest;
}

function written(
  name: string,
  make: (size: number) => CreateDiskOptions,
  open: OpenDiskOptions = {},
  cases = [...writableCases, ...resizableCases],
): Subject {
  return {
    name,
    cases,
    make: (folder) => {
      const path = folder.file('image');
      const reopen = () => openDisk(path, { writable: true, ...open });
      return {
        async create(contents) {
          {
            await using disk = await createDisk(path, make(contents.length));
            await disk.write(0, contents);
          }
          return await reopen();
        },
        reopen,
      };
    },
  };
}

function readOnly(name: string, build: (contents: Uint8Array) => Uint8Array): Subject {
  return {
    name,
    cases: readOnlyCases,
    make: (folder) => ({
      async create(contents) {
        writeFileSync(folder.file('image'), build(contents));
        return await openDisk(folder.file('image'));
      },
      reopen: () => openDisk(folder.file('image')),
    }),
  };
}

/** A qcow2 image in memory whose storage answers late and out of order. */
const late: Subject = {
  name: 'qcow2 on storage that answers late',
  cases: [...writableCases, ...resizableCases],
  make: () => {
    const storage = new MemoryStorage();
    const reopen = (): Promise<Disk> =>
      openDisk('memory', {
        writable: true,
        openStorage: () => new LaterStorage(storage),
        l2CacheBytes: 0,
        refcountCacheBytes: 0,
      });
    return {
      async create(contents) {
        await formatQcow2(storage, { size: contents.length, clusterSize: 4096 });
        const disk = await reopen();
        await disk.write(0, contents);
        return disk;
      },
      reopen,
    };
  },
};

/** A GPT disk whose only partition is a qcow2 image, seen through the window that the partition is. */
const composite: Subject = {
  name: 'composite',
  cases: writableCases,
  make: (folder) => {
    const START = 20 * 1024;
    const reopen = async () =>
      inside(await openDisk(folder.file('disk'), { writable: true }), START, 2 ** 20);
    return {
      async create(contents) {
        await (await createDisk(folder.file('a'), { format: 'qcow2', size: 2 ** 20 / 2 }))[
          Symbol.asyncDispose
        ]();
        await (await createDisk(folder.file('b'), { format: 'raw', size: 2 ** 20 / 2 }))[
          Symbol.asyncDispose
        ]();
        await createCompositeDisk(folder.file('disk'), [
          { label: 'a', path: folder.file('a'), writable: true },
          { label: 'b', path: folder.file('b'), writable: true },
        ]);
        const disk = await reopen();
        await disk.write(0, contents);
        return disk;
      },
      reopen,
    };
  },
};

/** A part of a disk as a disk. */
function inside(disk: Disk, start: number, size: number): Disk {
  const at = (position: number) => (position >= 0 && position <= size ? position + start : Number.NaN);
  const whole = (position: number, length: number) => (position + length <= size ? at(position) : Number.NaN);
  return {
    format: disk.format,
    size,
    blockSize: disk.blockSize,
    readOnly: disk.readOnly,
    read: (position, target) =>
      disk.read(whole(position, 'byteLength' in target ? target.byteLength : 0), target),
    write: (position, source) => disk.write(whole(position, source.byteLength), source),
    discard: (position, length) => disk.discard(whole(position, length), length),
    writeZeroes: (position, length, options) => disk.writeZeroes(whole(position, length), length, options),
    flush: () => disk.flush(),
    resize: (length) => disk.resize(length),
    extentAt: async (position) => {
      const extent = await disk.extentAt(whole(position, 1));
      return { ...extent, length: Math.min(extent.length, size - position) };
    },
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}

const subjects: readonly Subject[] = [
  written('raw', (size) => ({ format: 'raw', size }), { format: 'raw' }),
  written('raw past the page cache', (size) => ({ format: 'raw', size }), { format: 'raw', direct: true }),
  written('qcow2', (size) => ({ format: 'qcow2', size })),
  written('qcow2 of version 2', (size) => ({ format: 'qcow2', size, version: 2, clusterSize: 512 })),
  written('qcow2 with subclusters', (size) => ({
    format: 'qcow2',
    size,
    extendedL2: true,
    refcountBits: 64,
  })),
  written('qcow2 with a data file', (size) => ({
    format: 'qcow2',
    size,
    clusterSize: 4096,
    dataFile: { file: 'data', isRaw: true },
  })),
  late,
  composite,
  readOnly('android-sparse', (contents) => androidSparse(contents)),
  readOnly('zstd in small frames', (contents) => zstdSeekable(contents, 10_000, true)),
  readOnly('zstd in one frame', (contents) => zstdSeekable(contents, contents.length)),
];

for (const { name, cases, make } of subjects) {
  describe(name, () => {
    test.each(cases)('$name', async ({ run }) => {
      using folder = new Folder();
      await run(make(folder));
    });
  });
}

test('a file storage that is not there says so', async ({ expect }) => {
  using folder = new Folder();
  expect(() => FileStorage.open(folder.file('nothing'))).toThrow(
    expect.objectContaining({ code: 'OPEN_FAILED', message: expect.stringContaining('ENOENT') }),
  );
});
