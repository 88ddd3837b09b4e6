import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkQcow2,
  type Disk,
  formatQcow2,
  MemoryStorage,
  openDisk,
  type Qcow2Format,
  RecordingStorage,
  type StorageEvent,
} from '../src/index.ts';
import { live, type Step, steps } from './support/model.ts';
import { Folder, qemuCheck, qemuImg, qemuIo } from './support/qemu.ts';

const SIZE = 400_000;

const variants: readonly (Omit<Qcow2Format, 'size'> & { readonly unit: number })[] = [
  { clusterSize: 4096, unit: 4096 },
  { clusterSize: 512, refcountBits: 64, unit: 512 },
  { clusterSize: 16384, extendedL2: true, refcountBits: 1, unit: 512 },
  { clusterSize: 512, version: 2, unit: 512 },
  { clusterSize: 4096, lazyRefcounts: true, unit: 4096 },
];

/** A history on storage that remembers; what the disk held at each flush, by the number of events before it. */
async function record(format: Qcow2Format, history: readonly Step[]) {
  const empty = new MemoryStorage();
  await formatQcow2(empty, format);
  const storage = new RecordingStorage(empty.toBytes());
  const open = () =>
    openDisk('disk', { writable: true, openStorage: () => storage, l2CacheBytes: 0, refcountCacheBytes: 0 });
  const model = new Uint8Array(format.size);
  const flushed: { readonly events: number; readonly contents: Uint8Array }[] = [];
  let disk: Disk = await open();
  for (const step of history) {
    disk = await live(disk, model, [step], async (old) => {
      await old[Symbol.asyncDispose]();
      return await open();
    });
    if (step.kind === 'flush' || step.kind === 'reopen') {
      flushed.push({ events: storage.events.length, contents: model.slice() });
    }
  }
  await disk[Symbol.asyncDispose]();
  flushed.push({ events: storage.events.length, contents: model.slice() });
  return { storage, flushed };
}

/**
 * Nothing is wrong; a cluster may be leaked only where the image says that it has to be counted anew, or cannot say so.
 * With lazy refcounts it may also not be counted yet.
 */
async function expectSound(image: MemoryStorage): Promise<void> {
  const { corruptions, leaks, messages } = await checkQcow2(image);
  const header = image.toBytes().subarray(0, 88);
  const isDirty = ((header[79] ?? 0) & 1) === 1;
  const isLazy = header[7] === 3 && ((header[87] ?? 0) & 1) === 1;
  const mayLeak = header[7] === 2 || isDirty;
  const isSound = (corruptions === 0 || (isLazy && isDirty)) && (leaks === 0 || mayLeak);
  expect(messages.slice(0, isSound ? 0 : 3)).toEqual([]);
}

/** Opening an image for writing leaves nothing leaked. */
async function expectRecovery(image: MemoryStorage): Promise<void> {
  await (await openDisk('disk', { writable: true, openStorage: () => image }))[Symbol.asyncDispose]();
  if (image.toBytes()[7] === 3) expect(await checkQcow2(image)).toMatchObject({ corruptions: 0, leaks: 0 });
  else expect(await checkQcow2(image)).toMatchObject({ corruptions: 0 });
}

async function contentsOf(image: MemoryStorage): Promise<Uint8Array> {
  await using disk = await openDisk('disk', { openStorage: () => image });
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, bytes);
  return bytes;
}

for (const { unit, ...variant } of variants) {
  test(`after a crash at any moment ${JSON.stringify(variant)} is sound and has what was flushed`, async () => {
    await fc.assert(
      fc.asyncProperty(steps(SIZE, unit, 20), fc.infiniteStream(fc.nat(99)), async (history, dice) => {
        const { storage, flushed } = await record({ ...variant, size: SIZE }, history);
        const count = storage.events.length;
        using folder = new Folder();
        for (let events = 0; events <= count; events += Math.max(1, Math.floor(count / 60))) {
          // Killed: what was written is there.
          await expectSound(storage.replay(events));
          await expectRecovery(storage.replay(events));
          // Power lost: of what was not synced, any part may be missing.
          const synced = lastSync(storage.events, events);
          const kept = new Set<number>();
          for (let i = synced; i < events; i++) if ((dice.next().value ?? 0) < 50) kept.add(i);
          await expectSound(storage.replay(events, (_, index) => index < synced || kept.has(index)));
        }
        for (const { events, contents } of flushed) {
          expect(Buffer.compare(await contentsOf(storage.replay(events)), contents)).toBe(0);
        }
        // What QEMU says about a few of them.
        for (const part of [0.3, 0.6, 1]) {
          writeFileSync(folder.file('image'), storage.replay(Math.floor(count * part)).toBytes());
          const { corruptions = 0, leaks = 0 } = qemuCheck(folder.file('image'));
          if (!variant.lazyRefcounts) expect(corruptions).toBe(0);
          if (corruptions + leaks === 0 || variant.version === 2) continue;
          // It counts anew what is marked, when it opens the image for writing.
          expect(JSON.parse(qemuImg('info', '--output=json', folder.file('image')))).toMatchObject({
            'dirty-flag': true,
          });
          qemuIo(folder.file('image'), ['write -P 1 0 512']);
          expect(qemuCheck(folder.file('image'))).not.toHaveProperty('leaks');
          expect(qemuCheck(folder.file('image'))).not.toHaveProperty('corruptions');
        }
      }),
      { numRuns: Number(process.env.TSVMM_DISK_RUNS ?? 2) },
    );
  });
}

/** How many events lie before the last barrier of the first `count`. */
function lastSync(events: readonly StorageEvent[], count: number): number {
  for (let i = count - 1; i >= 0; i--) if (events[i]?.kind === 'sync') return i;
  return 0;
}

test('what was flushed stays while later writes are under way', async () => {
  const format = { size: SIZE, clusterSize: 4096 };
  const empty = new MemoryStorage();
  await formatQcow2(empty, format);
  const storage = new RecordingStorage(empty.toBytes());
  const first = new Uint8Array(100_000).fill(1);
  {
    await using disk = await openDisk('disk', { writable: true, openStorage: () => storage });
    await disk.write(5000, first);
    await disk.flush();
    const start = storage.events.length;
    await disk.write(200_000, new Uint8Array(90_000).fill(2));
    await disk.writeZeroes(300_000, 50_000);
    await disk.flush();
    for (let events = start; events <= storage.events.length; events++) {
      const image = storage.replay(events);
      expect(Buffer.compare((await contentsOf(image)).subarray(5000, 105_000), first)).toBe(0);
    }
  }
});
