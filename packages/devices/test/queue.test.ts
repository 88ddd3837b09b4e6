import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, VirtioPciDevice, VirtqueueError } from '../src/index.ts';
import { EVENT_IDX, INDIRECT_DESC, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';
import { RAM } from './support/machine-memory.ts';
import { AVAIL, DESC, INDIRECT, NEXT, queueOf, SIZE, TABLE, USED, WRITE } from './support/split-queue.ts';

const code = (wanted: VirtqueueError['code']) => expect.objectContaining({ code: wanted });

test('a chain becomes the readable and the writable buffers, in order, directly or indirectly', () => {
  const { queue, describe, offer } = queueOf();
  describe(DESC + 16 * 3, RAM + 0x4000, 16, NEXT, 5);
  describe(DESC + 16 * 5, RAM + 0x5000, 100, NEXT, 0);
  describe(DESC, RAM + 0x6000, 7, NEXT | WRITE, 7);
  describe(DESC + 16 * 7, RAM + 0x7000, 1, WRITE);
  describe(DESC + 16, TABLE, 32, INDIRECT);
  describe(TABLE, RAM + 0x4000, 4, NEXT, 1);
  describe(TABLE + 16, RAM + 0x5000, 5, WRITE);
  expect(queue.pop()).toBe(false);
  offer(3);
  offer(1);
  expect(queue.pop()).toBe(true);
  expect([...queue.readable.pairs.subarray(0, 4)]).toEqual([0x4000, 16, 0x5000, 100]);
  expect([...queue.writable.pairs.subarray(0, 4)]).toEqual([0x6000, 7, 0x7000, 1]);
  expect([queue.readable.byteLength, queue.writable.byteLength]).toEqual([116, 8]);
  expect(queue.head).toBe(3);
  expect(queue.pop()).toBe(true);
  expect([queue.readable.byteLength, queue.writable.byteLength, queue.head]).toEqual([4, 5, 1]);
  expect(queue.pop()).toBe(false);
});

test('used entries and indices go round, 65,536 included', () => {
  const { queue, memory, state, describe, offer } = queueOf();
  for (let i = 0; i < SIZE; i++) describe(DESC + 16 * i, RAM + 0x4000, 16);
  let popped = 0;
  for (let i = 0; i < 70_000; i++) {
    offer(i % SIZE);
    if (queue.pop()) popped++;
    queue.push(queue.head, i);
  }
  expect(popped).toBe(70_000);
  expect(memory.loadUint16(USED + 2)).toBe(70_000 & 0xffff);
  expect(memory.readUint32(USED + 4 + 8 * (69_999 % SIZE))).toBe(69_999 % SIZE);
  expect(memory.readUint32(USED + 8 + 8 * (69_999 % SIZE))).toBe(69_999);
  expect(state.nextAvailable).toBe(70_000 & 0xffff);
});

test('interrupts and notifications are asked for as section 2.7.7 and 2.7.10 say', () => {
  const plain = queueOf();
  plain.describe(DESC, RAM + 0x4000, 1);
  plain.offer(0);
  plain.queue.pop();
  plain.queue.push(0, 0);
  expect(plain.queue.needsInterrupt()).toBe(true);
  expect(plain.queue.needsInterrupt()).toBe(false);
  plain.memory.writeUint16(AVAIL, 1);
  plain.queue.push(0, 0);
  expect(plain.queue.needsInterrupt()).toBe(false);
  plain.queue.disableNotifications();
  expect(plain.memory.readUint16(USED)).toBe(1);
  expect(plain.queue.enableNotifications()).toBe(false);
  expect(plain.memory.readUint16(USED)).toBe(0);

  const indexed = queueOf({ eventIdx: true });
  indexed.memory.writeUint16(AVAIL + 4 + 2 * SIZE, 2); // Interrupt when entry 2 is used.
  for (const [count, wanted] of [
    [1, false],
    [1, false],
    [1, true],
    [3, false],
  ] as const) {
    for (let i = 0; i < count; i++) indexed.queue.push(0, 0);
    expect(indexed.queue.needsInterrupt()).toBe(wanted);
  }
  const quiet = queueOf({ eventIdx: true });
  quiet.describe(DESC, RAM + 0x4000, 1);
  quiet.offer(0);
  expect(quiet.queue.enableNotifications()).toBe(true);
  quiet.queue.pop();
  expect(quiet.queue.enableNotifications()).toBe(false);
  expect(quiet.memory.readUint16(USED + 4 + 8 * SIZE)).toBe(1);
});

test('every way to break a chain has its error', () => {
  const refuse = (
    wanted: VirtqueueError['code'],
    build: (q: ReturnType<typeof queueOf>) => void,
    indirect = true,
  ) => {
    const q = queueOf({ indirect });
    build(q);
    expect(() => q.queue.pop()).toThrow(code(wanted));
  };
  refuse('BAD_DESCRIPTOR_INDEX', ({ offer }) => offer(SIZE));
  refuse('BAD_DESCRIPTOR_INDEX', ({ describe, offer }) => {
    describe(DESC, RAM, 1, NEXT, 0xffff);
    offer(0);
  });
  refuse('DESCRIPTOR_LOOP', ({ describe, offer }) => {
    describe(DESC, RAM, 1, NEXT, 1);
    describe(DESC + 16, RAM, 1, NEXT, 0);
    offer(0);
  });
  refuse('BAD_BUFFER', ({ describe, offer }) => {
    describe(DESC, RAM, 0);
    offer(0);
  });
  for (const [address, length] of [
    [RAM + 0xffff, 2],
    [RAM - 1, 1],
    [2 ** 63, 1],
    [2 ** 64 - 4096, 8192],
    [RAM, 0xffff_ffff],
  ] as const) {
    refuse('BAD_BUFFER', ({ describe, offer }) => {
      describe(DESC, address, length);
      offer(0);
    });
  }
  refuse('READABLE_AFTER_WRITABLE', ({ describe, offer }) => {
    describe(DESC, RAM, 1, NEXT | WRITE, 1);
    describe(DESC + 16, RAM, 1);
    offer(0);
  });
  for (const length of [8, 24, 16 * 1025]) {
    refuse('BAD_INDIRECT', ({ describe, offer }) => {
      describe(DESC, TABLE, length, INDIRECT);
      offer(0);
    });
  }
  refuse('BAD_INDIRECT', ({ describe, offer }) => {
    describe(DESC, TABLE, 16, INDIRECT | NEXT, 1);
    offer(0);
  });
  refuse('BAD_INDIRECT', ({ describe, offer }) => {
    describe(DESC, TABLE, 16, INDIRECT);
    describe(TABLE, TABLE, 16, INDIRECT);
    offer(0);
  });
  refuse(
    'BAD_INDIRECT',
    ({ describe, offer }) => {
      describe(DESC, TABLE, 16, INDIRECT);
      offer(0);
    },
    false,
  );
  refuse('DESCRIPTOR_LOOP', ({ describe, offer }) => {
    describe(DESC, TABLE, 16, INDIRECT);
    describe(TABLE, RAM, 1, NEXT, 0);
    offer(0);
  });
  refuse('BAD_AVAILABLE_INDEX', ({ describe, offer, queue }) => {
    // What the device has not given back is made available again.
    describe(DESC, RAM, 1);
    for (let i = 0; i < SIZE; i++) {
      offer(0);
      queue.pop();
    }
    offer(0);
  });
  refuse('BAD_AVAILABLE_INDEX', ({ memory }) => memory.storeUint16(AVAIL + 2, SIZE + 1));
});

test('rings that cannot be are refused when the queue is made', () => {
  const { make, state } = queueOf();
  const refused = (wanted: VirtqueueError['code']) => expect(make).toThrow(code(wanted));
  state.device.lo = USED + 2;
  refused('BAD_QUEUE_ADDRESS');
  state.device.lo = RAM + 0x1_0000 - 4;
  refused('BAD_QUEUE_ADDRESS');
  state.device.lo = USED;
  state.device.hi = 0xffff_ffff;
  refused('BAD_QUEUE_ADDRESS');
  for (const size of [0, 6, 16]) {
    state.size = size;
    refused('BAD_QUEUE_SIZE');
  }
});

test('whatever is in the rings, a queue answers with buffers inside memory or a VirtqueueError', () => {
  const biased = fc.oneof(
    fc.nat(0x1_0000).map((offset) => RAM + offset),
    fc.constant(TABLE),
    fc.bigInt(0n, 2n ** 64n - 1n).map(Number),
  );
  const descriptor = fc.record({
    address: biased,
    length: fc.oneof(
      fc.nat(64),
      fc.nat(4).map((n) => 16 * n),
      fc.nat(0xffff_ffff),
    ),
    flags: fc.oneof(fc.nat(7), fc.nat(0xffff)),
    next: fc.oneof(fc.nat(SIZE), fc.nat(0xffff)),
  });
  const table = fc.array(descriptor, { minLength: SIZE, maxLength: SIZE });
  const heads = fc.array(fc.oneof(fc.nat(SIZE - 1), fc.nat(0xffff)), { maxLength: SIZE });
  fc.assert(
    fc.property(table, table, heads, (direct, indirect, offered) => {
      const { queue, describe, offer } = queueOf();
      for (const [i, d] of direct.entries()) describe(DESC + 16 * i, d.address, d.length, d.flags, d.next);
      for (const [i, d] of indirect.entries()) describe(TABLE + 16 * i, d.address, d.length, d.flags, d.next);
      for (const head of offered) offer(head);
      try {
        while (queue.pop()) {
          for (const segments of [queue.readable, queue.writable]) {
            let total = 0;
            for (let i = 0; i < segments.count; i++) {
              const [position = -1, length = 0] = segments.pairs.subarray(2 * i);
              expect(position >= 0 && length > 0 && position + length <= 0x1_0000).toBe(true);
              total += length;
            }
            expect(segments.byteLength).toBe(total);
          }
          queue.push(queue.head, 0);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(VirtqueueError);
      }
    }),
    { numRuns: 500 },
  );
});

test('a broken ring stops that device only, tells the driver, and a reset revives it', async () => {
  await using machine = await startMachine([
    VirtioPciDevice.rng(),
    VirtioPciDevice.console(ByteRing.create()),
  ]);
  const { guest, broken } = machine;
  const driver = new VirtioDriver(guest, 1);
  const begin = () => {
    driver.enableMsix();
    driver.setVector(0, 7);
    expect(driver.negotiate([VERSION_1, EVENT_IDX, INDIRECT_DESC])).toBe(true);
    guest.write(driver.common + 0x10, 2, 0);
    const queue = driver.setUpQueue(0, 16, 5);
    driver.status = 15;
    return queue;
  };
  const queue = begin();
  queue.add([{ address: 0xdead_0000, length: 4, write: true }]);
  driver.kick(0);
  await guest.interrupts.nextMessage(7, 0);
  expect(driver.status).toBe(15 | 0x40);
  while (broken.length === 0) await new Promise(setImmediate);
  expect(broken).toEqual([
    {
      device: 'virtio-rng',
      cause: 'driver',
      code: 'BAD_BUFFER',
      message: 'virtio-rng: queue 0: a buffer of 4 bytes at 0xdead0000 is not in memory',
    },
  ]);

  const other = new VirtioDriver(guest, 2);
  expect(other.negotiate([VERSION_1])).toBe(true);
  expect(other.status).toBe(11);

  await driver.reset();
  const again = begin();
  again.add([{ address: guest.allocate(32), length: 32, write: true }]);
  driver.kick(0);
  await guest.interrupts.nextMessage(5, 0);
  expect(again.take()).toEqual({ id: 0, length: 32 });
});
