import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { QueueServer, type VirtioBackend, type Virtqueue } from '../src/index.ts';
import { RAM } from './support/machine-memory.ts';
import { AVAIL, DESC, queueOf, SIZE, USED } from './support/split-queue.ts';

/** Ends a request when it is looked for, or a turn of the event loop later. */
class LateBackend implements VirtioBackend {
  announce: () => void = () => {};
  readonly #ended: (() => void)[] = [];

  activate(): void {}

  handle(queue: Virtqueue): boolean {
    const { head } = queue;
    this.#ended.push(() => queue.push(head, 0));
    setImmediate(() => this.look());
    return true;
  }

  look(): void {
    if (this.#ended.length === 0) return;
    for (const end of this.#ended.splice(0)) end();
    this.announce();
  }

  reset(): undefined {}
  drain(): undefined {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What a driver may do between two requests: nothing, something short, or so much that the device has gone to sleep. */
const PAUSES = [
  () => undefined,
  () => Promise.resolve(),
  () => new Promise((resolve) => setImmediate(resolve)),
  () => sleep(1),
];

test('no request is missed, whenever it comes, of a driver that notifies only when it is asked to', async () => {
  const { memory, queue, describe, offer } = queueOf({ eventIdx: true });
  for (let head = 0; head < SIZE; head++) describe(DESC + 16 * head, RAM + 0x4000, 16);
  const backend = new LateBackend();
  let notifications = 0;
  let interrupted = Promise.withResolvers<void>();
  const server = new QueueServer(queue, {
    backend,
    interrupt: () => interrupted.resolve(),
    onBroken: (error) => interrupted.reject(error),
  });
  backend.announce = () => server.announce();
  server.serve();
  for (let request = 0; request < 2000; request++) {
    interrupted = Promise.withResolvers<void>();
    if (offer(request % SIZE)) {
      notifications++;
      server.serve();
    }
    await interrupted.promise;
    expect(memory.loadUint16(USED + 2)).toBe(request + 1);
    // used_event follows, as Linux has it.
    memory.storeUint16(AVAIL + 4 + 2 * SIZE, request + 1);
    await PAUSES[(request * 7 + (request >> 5)) % PAUSES.length]?.();
  }
  // It slept now and then.
  expect(notifications).toBeGreaterThan(0);
});
