import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDisk, RecordingStorage } from '../src/index.ts';
import { Folder, qemuCheck, qemuImg, qemuIo } from './support/qemu.ts';

const MIB = 2 ** 20;
/** Clusters of the request that is under way when the writer dies. */
const CLUSTERS = 16;

/** An image whose L2 table is there, so that a write only adds clusters. */
function makeImage(path: string, compat: string): void {
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `compat=${compat}`, path, '64M');
  qemuIo(path, ['write -P 1 60M 64k']);
}

/** Lets QEMU die when it has written refcounts, and is about to write the L2 table that refers to what they count. */
function killQemu(path: string): void {
  const commands = ['break l2_update point', `aio_write -P 3 0 ${MIB}`, 'wait_break point', 'abort'];
  const args = ['-t', 'writethrough', ...commands.flatMap((command) => ['-c', command])];
  const { signal } = spawnSync('qemu-io', [...args, `blkdebug::${path}`], {
    // Where a core goes, if there is one.
    cwd: dirname(path),
    stdio: 'ignore',
  });
  expect(signal).toBe('SIGABRT');
}

function isMarked(path: string): boolean {
  const info: unknown = JSON.parse(qemuImg('info', '--output=json', path));
  return typeof info === 'object' && info !== null && 'dirty-flag' in info && info['dirty-flag'] === true;
}

// Refcounts and L2 entries lie in different places, which no two writes reach at once. Counts come first, as a cluster
// that is in use and not counted would be written over: whoever dies between the two leaves clusters that nobody uses.
describe.each(['1.1', '0.10'])('a writer of an image of compat %s that dies', (compat) => {
  test('leaves no more leaks than QEMU, which leaves as many as a request has clusters', async () => {
    using folder = new Folder();
    const [theirs, ours] = [folder.file('theirs'), folder.file('ours')];
    makeImage(theirs, compat);
    killQemu(theirs);
    expect(qemuCheck(theirs)).toMatchObject({ leaks: CLUSTERS });

    makeImage(ours, compat);
    const storage = new RecordingStorage(readFileSync(ours));
    {
      await using disk = await openDisk('disk', { writable: true, openStorage: () => storage });
      await disk.write(0, new Uint8Array(MIB).fill(3));
      await disk.flush();
    }
    const leaks: number[] = [];
    for (let events = 0; events <= storage.events.length; events++) {
      writeFileSync(ours, storage.replay(events).toBytes());
      const found = qemuCheck(ours);
      expect(found).not.toHaveProperty('corruptions');
      if (found.leaks === undefined) continue;
      leaks.push(found.leaks);
      // Version 2 has no place for the mark.
      expect(isMarked(ours)).toBe(compat !== '0.10');
    }
    // Between the counts and the table: once after the counts, and once more after their sync.
    expect(leaks).toEqual([CLUSTERS, CLUSTERS]);
  });
});

test('leaks of ours end with the next writer, here and in QEMU; those that QEMU leaves stay', async () => {
  using folder = new Folder();
  const [theirs, ours] = [folder.file('theirs'), folder.file('ours')];
  makeImage(theirs, '1.1');
  killQemu(theirs);
  expect(isMarked(theirs)).toBe(false);
  qemuIo(theirs, ['write -P 4 2M 64k']);
  expect(qemuCheck(theirs)).toMatchObject({ leaks: CLUSTERS });

  for (const recover of [
    async () => void qemuIo(ours, ['write -P 4 2M 64k']),
    async () => {
      await using disk = await openDisk(ours, { writable: true });
      await disk.write(2 * MIB, new Uint8Array(65536).fill(4));
    },
  ]) {
    makeImage(ours, '1.1');
    const storage = new RecordingStorage(readFileSync(ours));
    await using disk = await openDisk('disk', { writable: true, openStorage: () => storage });
    await disk.write(0, new Uint8Array(MIB).fill(3));
    await disk.flush();
    let events = 0;
    do writeFileSync(ours, storage.replay(++events).toBytes());
    while (qemuCheck(ours).leaks === undefined);
    await recover();
    expect(qemuCheck(ours)).not.toHaveProperty('leaks');
    expect(isMarked(ours)).toBe(false);
  }
});
