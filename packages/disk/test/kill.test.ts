import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { createDisk, diskInfo, openDisk } from '../src/index.ts';
import { Folder, qemuCheck } from './support/qemu.ts';

const WRITER = fileURLToPath(new URL('support/killed-writer.ts', import.meta.url));
const SIZE = 10_000_384;
const LENGTH = 5000;
/** Blocks before their places repeat. */
const BLOCKS = 1600;

test('a writer that is killed again and again leaves a sound image with all it flushed', async () => {
  using folder = new Folder();
  const path = folder.file('image');
  await (await createDisk(path, { format: 'qcow2', size: SIZE, clusterSize: 4096 }))[Symbol.asyncDispose]();
  let next = 0;
  for (const lines of [1, 2, 7, 20, 45]) {
    const writer = spawn(process.execPath, [WRITER, path, String(next)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let last = next;
    let seen = 0;
    for await (const line of createInterface({ input: writer.stdout })) {
      last = Number(line);
      if (++seen === lines) writer.kill('SIGKILL');
    }
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit');
    const { corruptions = 0, leaks = 0 } = qemuCheck(path);
    expect(corruptions).toBe(0);
    // What is counted too often is marked, as lazy refcounts are.
    if (leaks > 0) expect((await diskInfo(path)).qcow2?.isDirty).toBe(true);
    await using disk = await openDisk(path);
    const bytes = new Uint8Array(LENGTH);
    expect(last).toBeLessThan(BLOCKS);
    for (let n = 0; n <= last; n++) {
      await disk.read((n * LENGTH * 37) % 8_000_000, bytes);
      expect(bytes.every((byte) => byte === (n % 255) + 1)).toBe(true);
    }
    next = last + 1;
  }
  await (await openDisk(path, { writable: true }))[Symbol.asyncDispose]();
  expect(qemuCheck(path)).not.toHaveProperty('leaks');
});
