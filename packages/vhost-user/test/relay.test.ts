import { EventFd, mapShared } from '@tsvmm/base';
import type { RemoteQueue } from '@tsvmm/devices';
import { expect, test } from 'vitest';
import { Relay } from '../src/frontend/relay.ts';
import { DriverMemory, DriverQueue } from './support/driver.ts';

/** A back end's side of the rings that a relay has made for it: it ends requests when it is told to. */
class BackEnd {
  readonly #queue: RemoteQueue;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: Uint32Array;

  constructor({ file, region }: Relay, queue: RemoteQueue) {
    const { buffer } = mapShared(file.descriptor.number, 0, region.size);
    const { driver, device, size } = queue;
    this.#queue = queue;
    this.#available = new Uint16Array(buffer, driver - region.guestAddress, 3 + size);
    this.#used = new Uint16Array(buffer, device - region.guestAddress, 3 + 4 * size);
    this.#usedElements = new Uint32Array(buffer, device - region.guestAddress + 4, 2 * size);
  }

  /** Resolves with all heads that were made available since it began, once there are `count`. */
  async taken(count: number): Promise<number[]> {
    const { size, kick } = this.#queue;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => Atomics.load(this.#available, 1) >= count && resolve();
    using _watcher = EventFd.fromDescriptor(kick).onReadable(look);
    look();
    await promise;
    return Array.from({ length: count }, (_, at) => this.#available[2 + (at % size)] ?? -1);
  }

  end(head: number): void {
    const index = Atomics.load(this.#used, 1);
    this.#usedElements.set([head, 1], 2 * (index % this.#queue.size));
    Atomics.store(this.#used, 1, index + 1);
    EventFd.fromDescriptor(this.#queue.call).signal();
  }
}

test('a relay gives a back end that comes back what the one before it had, whatever order that served it in', async () => {
  using driver = new DriverMemory();
  using queue = new DriverQueue(driver, 1, 4);
  const broken: unknown[] = [];
  const options = {
    memory: driver.memory,
    queueSizes: [8, 8],
    onBroken: (error: unknown) => broken.push(error),
  };
  const buffer = { address: driver.allocate(4096), length: 8, write: true };
  let relay = new Relay(options);
  let backEnd = new BackEnd(relay, relay.start(queue.queue));
  for (const head of [3, 0, 2]) queue.add(head, [buffer]);
  expect(await backEnd.taken(3)).toEqual([3, 0, 2]);
  backEnd.end(0);
  expect(await queue.used(1)).toEqual([{ head: 0, length: 1 }]);
  // This is done when the back end dies, and nobody has looked at it yet.
  backEnd.end(2);
  queue.add(1, [buffer]);

  relay = new Relay(options, relay);
  expect(await queue.used(1)).toEqual([{ head: 2, length: 1 }]);
  backEnd = new BackEnd(relay, relay.start(queue.queue));
  expect(await backEnd.taken(2)).toEqual([3, 1]);
  backEnd.end(1);
  backEnd.end(3);
  expect(await queue.used(2)).toEqual([
    { head: 1, length: 1 },
    { head: 3, length: 1 },
  ]);
  // More requests than the ring has entries.
  for (let count = 3; count < 13; count++) {
    queue.add(count % 4, [buffer]);
    expect((await backEnd.taken(count)).at(-1)).toBe(count % 4);
    backEnd.end(count % 4);
    expect(await queue.used(1)).toEqual([{ head: count % 4, length: 1 }]);
  }
  expect(broken).toEqual([]);

  // What the back end does not have it cannot give back.
  queue.add(2, [buffer]);
  await backEnd.taken(13);
  backEnd.end(0);
  relay[Symbol.dispose]();
  expect(broken).toEqual([
    expect.objectContaining({ code: 'PROTOCOL', message: expect.stringContaining('request 0 of queue 1') }),
  ]);
  expect(queue.take()).toEqual([]);
});
