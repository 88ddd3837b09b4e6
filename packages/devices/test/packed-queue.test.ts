import { GuestMemory } from '@tsvmm/vm-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PackedQueue, VirtqueueError } from '../src/index.ts';
import { attachQueueState, createVirtioState } from '../src/virtio/transport/state.ts';
import type { Guest } from './support/guest.ts';
import { RAM } from './support/machine-memory.ts';
import { PackedDriverQueue } from './support/packed-driver.ts';

const LENGTH = 0x10_0000;

/** A queue and its driver in 1 MiB of memory. */
function queueOf(size: number, options: { eventIdx?: boolean; indirect?: boolean } = {}) {
  const memory = GuestMemory.create({ regions: [{ base: RAM, size: LENGTH }], backing: 'anonymous' });
  let free = RAM;
  // What the driver needs of a guest.
  const guest = {
    memory,
    ram: new DataView(memory.buffer),
    allocate(length: number) {
      const address = free;
      free += Math.ceil(length / 4096) * 4096;
      if (free > RAM + LENGTH / 2) free = RAM + LENGTH / 4;
      return address;
    },
  } satisfies Pick<Guest, 'memory' | 'ram' | 'allocate'>;
  const driver = new PackedDriverQueue(guest as Guest, size);
  const state = attachQueueState(createVirtioState([256]), 0);
  state.size = size;
  state.descriptors.lo = driver.desc;
  state.driver.lo = driver.avail;
  state.device.lo = driver.used;
  const { eventIdx = true, indirect = true } = options;
  const queue = new PackedQueue(0, state, memory, { eventIdx, indirect });
  return { memory, driver, queue, state, guest };
}

const buffer = (index: number, length: number, write: boolean) => ({
  address: RAM + LENGTH / 2 + 64 * index,
  length,
  write,
});

test('whatever a driver adds comes out in order, and what is given back in any order is known to it', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      readable: fc.integer({ min: 0, max: 3 }),
      writable: fc.integer({ min: 0, max: 3 }),
      indirect: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('pop' as const), undo: fc.boolean() }),
    fc.record({ kind: fc.constant('push' as const), which: fc.nat(), written: fc.nat(1000) }),
    fc.record({ kind: fc.constant('take' as const) }),
  );
  fc.assert(
    // Sizes that are no power of two are allowed.
    fc.property(fc.integer({ min: 1, max: 13 }), fc.array(step, { maxLength: 300 }), (size, steps) => {
      const { driver, queue } = queueOf(size);
      const added: { id: number; readable: number; writable: number; taken: number }[] = [];
      const popped: { head: number; id: number }[] = [];
      const pushed: { id: number; length: number }[] = [];
      let held = 0;
      const counts = new Map<number, number>();
      for (const action of steps) {
        if (action.kind === 'add') {
          const { readable, writable, indirect } = action;
          const total = readable + writable;
          const taken = indirect ? 1 : total;
          if (total === 0 || held + taken > size) continue;
          const buffers = Array.from({ length: total }, (_, i) => buffer(i, i + 1, i >= readable));
          const id = driver.add(buffers, indirect);
          held += taken;
          counts.set(id, taken);
          added.push({ id, readable, writable, taken });
        } else if (action.kind === 'pop') {
          const expected = added[0];
          expect(queue.pop()).toBe(expected !== undefined);
          if (!expected) continue;
          expect([queue.readable.count, queue.writable.count]).toEqual([
            expected.readable,
            expected.writable,
          ]);
          expect(queue.head % 65_536).toBe(expected.id);
          if (action.undo) queue.undoPop();
          else popped.push({ head: queue.head, id: added.shift()?.id ?? -1 });
        } else if (action.kind === 'push' && popped.length > 0) {
          const [request] = popped.splice(action.which % popped.length, 1);
          if (!request) continue;
          queue.push(request.head, action.written);
          pushed.push({ id: request.id, length: action.written });
        } else if (action.kind === 'take') {
          const expected = pushed.shift();
          expect(driver.take()).toEqual(expected);
          if (expected) held -= counts.get(expected.id) ?? 0;
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('nobody sleeps while there is something for them: an interrupt and a notification for each first one', () => {
  const step = fc.record({ add: fc.integer({ min: 0, max: 5 }), serve: fc.boolean(), collect: fc.boolean() });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 200 }), (size, steps) => {
      const { driver, queue } = queueOf(size);
      let held = 0;
      let isKicked = false;
      let isInterrupted = false;
      const serve = () => {
        do {
          queue.disableNotifications();
          while (queue.pop()) queue.push(queue.head, 1);
          if (queue.needsInterrupt()) isInterrupted = true;
        } while (queue.enableNotifications());
        isKicked = false;
      };
      const collect = () => {
        isInterrupted = false;
        while (driver.take()) held--;
      };
      serve();
      let inFlight = 0;
      for (const { add, serve: serves, collect: collects } of steps) {
        const before = driver.place;
        let count = 0;
        for (; count < add && held < size; count++, held++) driver.add([buffer(count, 8, true)]);
        inFlight += count;
        if (count > 0 && driver.needsKick(before)) isKicked = true;
        // Whoever was not told must have been told before.
        if (inFlight > 0) expect(isKicked).toBe(true);
        if (serves && isKicked) {
          serve();
          expect(isInterrupted).toBe(true);
          inFlight = 0;
        }
        if (collects && isInterrupted) {
          collect();
          expect(held).toBe(inFlight);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('without EVENT_IDX the flags decide', () => {
  const { memory, driver, queue } = queueOf(4, { eventIdx: false });
  queue.disableNotifications();
  expect(memory.readUint16(driver.used + 2)).toBe(1);
  expect(queue.enableNotifications()).toBe(false);
  expect(memory.readUint16(driver.used + 2)).toBe(0);
  for (const [flags, wanted] of [
    [0, true],
    [1, false],
  ] as const) {
    memory.writeUint16(driver.avail + 2, flags);
    driver.add([buffer(0, 1, true)]);
    expect(queue.pop()).toBe(true);
    queue.push(queue.head, 1);
    expect(queue.needsInterrupt()).toBe(wanted);
    expect(queue.needsInterrupt()).toBe(false);
  }
});

test('whatever is in the ring, a queue answers with buffers inside memory or a VirtqueueError, and ends', () => {
  const TABLE = RAM + 0x8000;
  const descriptor = fc.record({
    address: fc.oneof(
      fc.nat(LENGTH).map((offset) => RAM + offset),
      fc.constant(TABLE),
      fc.bigInt(0n, 2n ** 64n - 1n).map(Number),
    ),
    length: fc.oneof(
      fc.nat(64),
      fc.nat(4).map((n) => 16 * n),
      fc.nat(0xffff_ffff),
    ),
    id: fc.nat(0xffff),
    flags: fc.oneof(
      fc.nat(7).map((flags) => flags | 0x80),
      fc.nat(7).map((flags) => flags | 0x8000),
      fc.nat(0xffff),
    ),
  });
  const table = fc.array(descriptor, { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(table, table, fc.boolean(), (ring, indirect, pushes) => {
      const { memory, driver, queue } = queueOf(8);
      const write = (at: number, d: (typeof ring)[number]) => {
        memory.writeUint64(at, d.address % 2 ** 32, Math.floor(d.address / 2 ** 32));
        memory.writeUint32(at + 8, d.length);
        memory.writeUint16(at + 12, d.id);
        memory.writeUint16(at + 14, d.flags);
      };
      ring.forEach((d, i) => {
        write(driver.desc + 16 * i, d);
      });
      indirect.forEach((d, i) => {
        write(TABLE + 16 * i, d);
      });
      try {
        for (let popped = 0; queue.pop(); popped++) {
          expect(popped).toBeLessThan(16);
          for (const segments of [queue.readable, queue.writable]) {
            let total = 0;
            for (let i = 0; i < segments.count; i++) {
              const [position = -1, length = 0] = segments.pairs.subarray(2 * i);
              expect(position >= 0 && length > 0 && position + length <= memory.buffer.byteLength).toBe(true);
              total += length;
            }
            expect(segments.byteLength).toBe(total);
          }
          if (pushes) queue.push(queue.head, 0);
          else {
            // It comes round, and makes what the device still has available again.
            ring.forEach((d, i) => {
              write(driver.desc + 16 * i, { ...d, flags: d.flags ^ 0x8080 });
            });
          }
        }
      } catch (error) {
        expect(error).toBeInstanceOf(VirtqueueError);
      }
    }),
    { numRuns: 500 },
  );
});

test('rings that cannot be are refused when the queue is made', () => {
  const { state, memory } = queueOf(4);
  const make = () => new PackedQueue(0, state, memory, { eventIdx: true, indirect: true });
  state.size = 0;
  expect(make).toThrow(expect.objectContaining({ code: 'BAD_QUEUE_SIZE' }));
  state.size = 257;
  expect(make).toThrow(expect.objectContaining({ code: 'BAD_QUEUE_SIZE' }));
  state.size = 3;
  expect(make).not.toThrow();
  state.driver.lo += 2;
  expect(make).toThrow(expect.objectContaining({ code: 'BAD_QUEUE_ADDRESS' }));
});
