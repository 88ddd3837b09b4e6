import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createCompositeDisk,
  createDisk,
  type Disk,
  formatQcow2,
  MemoryStorage,
  openDisk,
  type Qcow2Format,
} from '../src/index.ts';
import { expectEqual, live, pattern, steps } from './support/model.ts';
import { Folder, qemuCheck, qemuImg } from './support/qemu.ts';

const SIZE = 1_200_000 - (1_200_000 % 512);
/** Of one history. In memory a step takes a tenth of a millisecond. */
const STEPS = 1500;
const RUNS = { numRuns: Math.ceil(Number(process.env.TSVMM_DISK_RUNS ?? 2) / 2) };

const variants: readonly (Omit<Qcow2Format, 'size'> & { readonly unit: number })[] = [
  { unit: 65536 },
  { clusterSize: 512, unit: 512 },
  { clusterSize: 512, version: 2, unit: 512 },
  { clusterSize: 512, refcountBits: 1, unit: 512 },
  { clusterSize: 4096, refcountBits: 64, lazyRefcounts: true, unit: 4096 },
  { clusterSize: 16384, extendedL2: true, unit: 512 },
  { clusterSize: 1024, backing: { file: 'below', format: 'raw' }, unit: 1024 },
  { clusterSize: 32768, extendedL2: true, backing: { file: 'below', format: 'raw' }, unit: 1024 },
];

/** What lies below those that have a backing image: shorter than the disk, and not a multiple of anything. */
const BELOW = pattern(3, 700_001, 5);

async function closeAndOpen(disk: Disk, open: () => Promise<Disk>): Promise<Disk> {
  await disk[Symbol.asyncDispose]();
  return await open();
}

describe(`${STEPS} steps in a row, with reopening, are as plain memory is`, () => {
  test.each(variants)('qcow2 in memory: %j', async ({ unit, ...format }) => {
    await fc.assert(
      fc.asyncProperty(steps(SIZE, unit, STEPS), fc.boolean(), async (history, isSmallCache) => {
        const storage = new MemoryStorage();
        await formatQcow2(storage, { ...format, size: SIZE });
        const model = new Uint8Array(SIZE);
        if (format.backing) model.set(BELOW);
        const open = () =>
          openDisk('disk', {
            writable: true,
            openStorage: (path) => (path === 'disk' ? storage : MemoryStorage.from(BELOW)),
            ...(isSmallCache ? { l2CacheBytes: 0, refcountCacheBytes: 0 } : {}),
          });
        const disk = await live(await open(), model, history, (old) => closeAndOpen(old, open));
        await expectEqual(disk, model);
        await disk[Symbol.asyncDispose]();
        using folder = new Folder();
        writeFileSync(folder.file('below'), BELOW);
        writeFileSync(folder.file('disk'), storage.toBytes());
        writeFileSync(folder.file('model'), model);
        const { leaks = 0, corruptions = 0 } = qemuCheck(folder.file('disk'));
        expect({ leaks, corruptions }).toEqual({ leaks: 0, corruptions: 0 });
        expect(
          qemuImg('compare', '-f', 'raw', '-F', 'qcow2', folder.file('model'), folder.file('disk')),
        ).toContain('identical');
      }),
      RUNS,
    );
  });

  test.each([{ direct: false }, { direct: true }])('raw: %j', async ({ direct }) => {
    await fc.assert(
      fc.asyncProperty(steps(SIZE, 4096, STEPS), async (history) => {
        using folder = new Folder();
        const path = folder.file('disk');
        await (await createDisk(path, { format: 'raw', size: SIZE }))[Symbol.asyncDispose]();
        const open = () => openDisk(path, { writable: true, format: 'raw', direct });
        const model = new Uint8Array(SIZE);
        const disk = await live(await open(), model, history, (old) => closeAndOpen(old, open));
        await expectEqual(disk, model);
        await disk[Symbol.asyncDispose]();
        writeFileSync(folder.file('model'), model);
        expect(qemuImg('compare', '-f', 'raw', folder.file('model'), path)).toContain('identical');
      }),
      RUNS,
    );
  });

  test('a composite disk of a raw and a qcow2 partition', async () => {
    const PART = 512 * 1024;
    await fc.assert(
      fc.asyncProperty(steps(2 * PART, 4096, STEPS), async (history) => {
        using folder = new Folder();
        await (await createDisk(folder.file('a'), { format: 'raw', size: PART }))[Symbol.asyncDispose]();
        await (await createDisk(folder.file('b'), { format: 'qcow2', size: PART }))[Symbol.asyncDispose]();
        await createCompositeDisk(folder.file('disk'), [
          { label: 'a', path: folder.file('a'), writable: true },
          { label: 'b', path: folder.file('b'), writable: true },
        ]);
        // The partitions start behind the table.
        const start = 20 * 1024;
        const open = () => openDisk(folder.file('disk'), { writable: true });
        const model = new Uint8Array(start + 2 * PART);
        const moved = history.map((step) =>
          'position' in step ? { ...step, position: step.position + start } : step,
        );
        let disk = await open();
        await disk.read(0, model);
        disk = await live(disk, model, moved, (old) => closeAndOpen(old, open));
        await expectEqual(disk, model.subarray(0, start + 2 * PART));
        await disk[Symbol.asyncDispose]();
        for (const [file, at] of [
          ['a', start],
          ['b', start + PART],
        ] as const) {
          writeFileSync(folder.file('model'), model.subarray(at, at + PART));
          expect(qemuImg('compare', '-f', 'raw', folder.file('model'), folder.file(file))).toContain(
            'identical',
          );
        }
      }),
      RUNS,
    );
  });
});

test.each(variants)('resizing between writes leaves what qemu-img reads: %j', async ({ unit, ...format }) => {
  const size = fc.integer({ min: 0, max: 2000 }).map((sectors) => sectors * 512);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('resize' as const), size }),
    fc.record({ kind: fc.constant('write' as const), size, length: fc.integer({ min: 1, max: 3 * unit }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 60, maxLength: 60 }), async (history) => {
      const storage = new MemoryStorage();
      await formatQcow2(storage, { ...format, size: 512 * 1000 });
      const open = () =>
        openDisk('disk', {
          writable: true,
          openStorage: (path) => (path === 'disk' ? storage : MemoryStorage.from(BELOW)),
        });
      let disk = await open();
      let model = new Uint8Array(disk.size);
      if (format.backing) model.set(BELOW.subarray(0, disk.size));
      for (const [index, next] of history.entries()) {
        if (next.kind === 'resize') {
          await disk.resize(next.size);
          const old = model;
          model = new Uint8Array(next.size);
          model.set(old.subarray(0, next.size));
        } else if (next.size < disk.size) {
          const bytes = pattern(next.size, Math.min(next.length, disk.size - next.size), index + 1);
          await disk.write(next.size, bytes);
          model.set(bytes, next.size);
        }
        if (index % 20 === 19) disk = await closeAndOpen(disk, open);
        await expectEqual(disk, model);
      }
      await disk[Symbol.asyncDispose]();
      using folder = new Folder();
      writeFileSync(folder.file('below'), BELOW);
      writeFileSync(folder.file('disk'), storage.toBytes());
      writeFileSync(folder.file('model'), model);
      const { leaks = 0, corruptions = 0 } = qemuCheck(folder.file('disk'));
      expect({ leaks, corruptions }).toEqual({ leaks: 0, corruptions: 0 });
      expect(
        qemuImg('compare', '-f', 'raw', '-F', 'qcow2', folder.file('model'), folder.file('disk')),
      ).toContain('identical');
    }),
    { numRuns: 3 * RUNS.numRuns },
  );
});
