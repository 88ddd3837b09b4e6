import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { EventFd } from '@tsvmm/base';
import { afterAll, describe, expect, test } from 'vitest';
import { availableKinds } from './support/kinds.ts';

const folder = mkdtempSync(join(tmpdir(), 'async-end-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.for([...(await availableKinds())])('%s', (kind) => {
  test('a thread that is terminated under load leaves no request, thread or descriptor behind', async () => {
    // A thread's end closes no descriptors: they are the test's.
    const path = join(folder, kind);
    writeFileSync(path, Buffer.alloc(1 << 20, 1));
    const file = openSync(path, 'r+');
    using event = EventFd.create();
    const count = () => ({
      descriptors: readdirSync('/proc/self/fd').length,
      threads: readdirSync('/proc/self/task').length,
    });
    const cycle = async () => {
      const worker = new Worker(new URL('./support/busy-worker.ts', import.meta.url), {
        workerData: { kind, file, event: event.descriptor.number },
      });
      await once(worker, 'message');
      await worker.terminate();
    };
    await cycle();
    const before = count();
    for (let i = 0; i < 5; i++) await cycle();
    const after = count();
    closeSync(file);
    // The kernel's own threads for rings end when they are idle, whenever that is.
    if (kind === 'epoll') expect(after).toEqual(before);
    else expect(after.descriptors).toBe(before.descriptors);
  });
});
