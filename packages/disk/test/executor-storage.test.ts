import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { type Executor, openExecutor } from '@tsvmm/async';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resizableCases, writableCases } from '../src/conformance/index.ts';
import {
  type CreateDiskOptions,
  createDisk,
  ExecutorStorage,
  type OpenDiskOptions,
  openDisk,
  SegmentList,
} from '../src/index.ts';
import { Folder, qemuCheck, qemuImg } from './support/qemu.ts';

const subjects: readonly [name: string, make: (size: number) => CreateDiskOptions, OpenDiskOptions][] = [
  ['raw', (size) => ({ format: 'raw', size }), { format: 'raw' }],
  ['raw, direct', (size) => ({ format: 'raw', size }), { format: 'raw', direct: true }],
  ['qcow2', (size) => ({ format: 'qcow2', size }), {}],
  ['qcow2, direct', (size) => ({ format: 'qcow2', size }), { direct: true }],
];

// `epoll` is everywhere; `auto` is io_uring where the kernel has it.
describe.for(['auto', 'epoll'] as const)('on %s', (kind) => {
  let executor: Executor;
  beforeAll(() => {
    executor = openExecutor({ kind, capacity: 16 }).executor;
  });
  afterAll(() => executor[Symbol.asyncDispose]());
  const openStorage: OpenDiskOptions['openStorage'] = (path, options) =>
    ExecutorStorage.open(executor, path, options);

  describe.for(subjects)('%s', ([, make, open]) => {
    test.for([...writableCases, ...resizableCases])('$name', async ({ run }) => {
      using folder = new Folder();
      const path = folder.file('image');
      const reopen = () => openDisk(path, { writable: true, openStorage, ...open });
      await run({
        async create(contents) {
          {
            await using disk = await createDisk(path, make(contents.length));
            await disk.write(0, contents);
          }
          return await reopen();
        },
        reopen,
      });
    });
  });

  test('requests that O_DIRECT cannot take beside others that it can leave every byte in its place', async () => {
    using folder = new Folder();
    const path = folder.file('direct');
    const expected = new Uint8Array(1 << 20);
    writeFileSync(path, expected);
    await using storage = ExecutorStorage.open(executor, path, { writable: true, direct: true });
    const memory = new Uint8Array(new SharedArrayBuffer(expected.length)).map((_, i) => (i * 13) ^ (i >> 9));
    const pending: (Promise<void> | undefined)[] = [];
    for (let at = 0; at < expected.length; ) {
      // Whole blocks, then pieces of one block that no alignment divides.
      for (const length of [8192, 100, 412, 3000, 584]) {
        const segments = new SegmentList();
        segments.memory = memory;
        segments.pairs = Float64Array.of(at, length);
        segments.count = 1;
        segments.byteLength = Math.min(length, expected.length - at);
        segments.pairs[1] = segments.byteLength;
        pending.push(storage.write(at, segments));
        at += segments.byteLength;
      }
    }
    await Promise.all(pending);
    expect(Buffer.compare(readFileSync(path), memory)).toBe(0);
  });

  test('many writes at once leave a qcow2 image that QEMU finds sound and reads as written', async () => {
    using folder = new Folder();
    const [path, raw] = [folder.file('image.qcow2'), folder.file('image.raw')];
    const size = 1 << 22;
    const expected = new Uint8Array(size);
    {
      await using _empty = await createDisk(path, { format: 'qcow2', size });
    }
    {
      await using disk = await openDisk(path, { writable: true, openStorage });
      const pending: Promise<void>[] = [];
      for (let i = 0; i < 256; i++) {
        // All of them disjoint, in an order that jumps between clusters.
        const at = ((i * 37) % 256) * (size / 256) + 100;
        const bytes = expected.subarray(at, at + 9000).fill(i + 1);
        pending.push(disk.write(at, bytes));
        if (i % 50 === 0) pending.push(disk.flush());
      }
      await Promise.all(pending);
    }
    expect(qemuCheck(path)).toMatchObject({ 'check-errors': 0 });
    expect(qemuCheck(path).corruptions ?? 0).toBe(0);
    qemuImg('convert', '-O', 'raw', path, raw);
    expect(Buffer.compare(readFileSync(raw), expected)).toBe(0);
  });

  test('a disk that is closed touches no file that has its descriptor later', async () => {
    using folder = new Folder();
    const [path, other] = [folder.file('closed'), folder.file('other')];
    for (const name of [path, other]) writeFileSync(name, new Uint8Array(4096));
    const storage = ExecutorStorage.open(executor, path, { writable: true });
    await storage[Symbol.asyncDispose]();
    const fd = openSync(other, constants.O_RDWR);
    try {
      const ones = SegmentList.of(new Uint8Array(4096).fill(1));
      await expect(storage.write(0, ones)).rejects.toMatchObject({ code: 'CLOSED' });
      expect(readFileSync(other).every((byte) => byte === 0)).toBe(true);
    } finally {
      closeSync(fd);
    }
  });
});
