import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Disk, openDisk } from '../src/index.ts';
import { expectEqual, live, pattern, steps } from './support/model.ts';
import { Folder, qemuCheck, qemuImg } from './support/qemu.ts';

const SIZE = 1_500_000 - (1_500_000 % 512);

interface Variant {
  readonly options: string;
  readonly unit: number;
  readonly backing?: 'raw' | 'qcow2';
}

const variants: readonly Variant[] = [
  { options: '', unit: 65536 },
  { options: '', unit: 65536, backing: 'raw' },
  { options: 'cluster_size=4k', unit: 4096, backing: 'qcow2' },
  { options: 'compat=0.10,cluster_size=8k', unit: 8192 },
  { options: 'compat=0.10,cluster_size=8k', unit: 8192, backing: 'raw' },
  { options: 'cluster_size=512,refcount_bits=1', unit: 512 },
  { options: 'cluster_size=1k,refcount_bits=2', unit: 1024, backing: 'raw' },
  { options: 'cluster_size=4k,refcount_bits=4,lazy_refcounts=on', unit: 4096 },
  { options: 'cluster_size=512,refcount_bits=64', unit: 512, backing: 'raw' },
  { options: 'cluster_size=2M,refcount_bits=32', unit: 65536 },
  { options: 'extended_l2=on', unit: 2048 },
  { options: 'extended_l2=on,cluster_size=16k', unit: 512, backing: 'raw' },
  { options: 'extended_l2=on,cluster_size=32k,refcount_bits=8', unit: 1024, backing: 'qcow2' },
  { options: 'cluster_size=4k,data_file=DATA', unit: 4096 },
  { options: 'cluster_size=4k,data_file=DATA,data_file_raw=on', unit: 4096 },
  { options: 'extended_l2=on,cluster_size=16k,data_file=DATA', unit: 512 },
];

for (const { options, unit, backing } of variants) {
  test(`qcow2 with ${options || 'defaults'}, backed by ${backing ?? 'nothing'}, is as plain memory is`, async () => {
    await fc.assert(
      fc.asyncProperty(steps(SIZE, unit, 60), fc.boolean(), async (history, isSmallCache) => {
        using folder = new Folder();
        const path = folder.file('disk.qcow2');
        const model = new Uint8Array(SIZE);
        if (backing) {
          // Shorter than the disk, and not a multiple of anything.
          const below = pattern(3, 1_000_000, 5);
          writeFileSync(folder.file('below'), below);
          model.set(below);
          if (backing === 'qcow2') {
            qemuImg(
              'convert',
              '-f',
              'raw',
              '-O',
              'qcow2',
              '-c',
              folder.file('below'),
              folder.file('below.qcow2'),
            );
            // Converting rounds up to sectors.
          }
        }
        const backingName = backing === 'qcow2' ? 'below.qcow2' : 'below';
        const file = options.replace('DATA', folder.file('data'));
        qemuImg(
          ...['create', '-q', '-f', 'qcow2', ...(file ? ['-o', file] : [])],
          ...(backing ? ['-F', backing, '-b', backingName] : []),
          ...[path, String(SIZE)],
        );
        const caches = isSmallCache ? { l2CacheBytes: 0, refcountCacheBytes: 0 } : {};
        const open = () => openDisk(path, { writable: true, ...caches });
        const reopen = async (disk: Disk) => {
          await disk[Symbol.asyncDispose]();
          return await open();
        };
        const disk = await live(await open(), model, history, reopen);
        await expectEqual(disk, model);
        await disk[Symbol.asyncDispose]();
        const { leaks, corruptions, ...rest } = qemuCheck(path);
        expect({ leaks, corruptions, errors: rest['check-errors'] }).toEqual({ errors: 0 });
        writeFileSync(folder.file('model'), model);
        expect(qemuImg('compare', '-f', 'raw', '-F', 'qcow2', folder.file('model'), path)).toContain(
          'identical',
        );
        if (options.includes('data_file_raw')) {
          // The file ends with a cluster.
          expect(Buffer.compare(readFileSync(folder.file('data')).subarray(0, SIZE), model)).toBe(0);
        }
      }),
      { numRuns: Number(process.env.TSVMM_DISK_RUNS ?? 2) },
    );
  });
}
