import { fstatSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type BalloonOptions, VirtioPciDevice } from '../src/index.ts';
import { EVENT_IDX, type GuestBuffer, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';
import { RAM } from './support/machine-memory.ts';

const PAGE = 4096;
const MUST_TELL_HOST = 0;
const STATS_VQ = 1;
const DEFLATE_ON_OOM = 2;
const PAGE_REPORTING = 5;
const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
const REPORTING = 3;
/** The message of configuration changes; each queue has its own above it. */
const CONFIG_MESSAGE = 7;

/** A balloon driver on a machine of 16 MiB. */
async function startBalloon(options: BalloonOptions = {}) {
  const machine = await startMachine([VirtioPciDevice.balloon(options)]);
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  driver.enableMsix();
  driver.setVector(0, CONFIG_MESSAGE);
  const features = [STATS_VQ, DEFLATE_ON_OOM, ...(options.pageReporting ? [PAGE_REPORTING] : [])];
  expect(driver.negotiate([VERSION_1, EVENT_IDX, ...features])).toBe(true);
  guest.write(driver.common + 0x10, 2, 0);
  const queueCount = options.pageReporting ? 4 : 3;
  for (let queue = 0; queue < queueCount; queue++) driver.setUpQueue(queue, 16, CONFIG_MESSAGE + 1 + queue);
  const started = guest.interrupts.message(CONFIG_MESSAGE);
  driver.status = 15;
  // The device says what it wants of a new driver, even if that is nothing.
  await guest.interrupts.nextMessage(CONFIG_MESSAGE, started);
  // When it answers a command, it has looked at all of its queues, and so touched the memory that they are in.
  await machine.worker.command(0, { kind: 'set-balloon', size: 0, wait: false });

  return {
    ...machine,
    driver,
    /** Sends a request and waits for its end. */
    async request(index: number, buffers: readonly GuestBuffer[]): Promise<number> {
      const queue = driver.queues[index];
      if (!queue) throw new Error('no queue');
      const message = CONFIG_MESSAGE + 1 + index;
      const seen = guest.interrupts.message(message);
      const before = queue.place;
      queue.add(buffers);
      if (queue.needsKick(before)) driver.kick(index);
      await guest.interrupts.nextMessage(message, seen);
      return queue.take()?.length ?? -1;
    },
    /** Guest memory with 32-bit words in it. */
    words(...values: readonly number[]): GuestBuffer {
      const address = guest.allocate(4 * values.length);
      new Uint32Array(guest.memory.buffer, guest.memory.hostOffset(address, 4 * values.length)).set(values);
      return { address, length: 4 * values.length };
    },
    /** Memory in whole pages, filled so that the host has to keep it. */
    filledPages(count: number): number {
      const address = guest.allocate(count * PAGE);
      guest.bytes(address, count * PAGE).fill(0xaa);
      return address;
    },
    /** Bytes that the host keeps of the guest's memory. */
    hostMemory(): number {
      return fstatSync(guest.memory.fd ?? -1).blocks * 512;
    },
    /** Resolves when the device has been stopped for what its driver did. */
    async isBroken(): Promise<void> {
      while (machine.broken.length === 0) await new Promise(setImmediate);
    },
    setActual(pages: number): void {
      guest.write(driver.deviceConfig + 4, 4, pages);
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

test('has the features, queues and configuration of crosvm', async () => {
  await using plain = await startMachine([
    VirtioPciDevice.balloon(),
    VirtioPciDevice.balloon({ pageReporting: true }),
  ]);
  const bits = (...list: number[]) => list.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
  const common = [28, 29, 32, 40];
  for (const [device, extra, queues] of [
    [1, [], 3],
    [2, [PAGE_REPORTING], 4],
  ] as const) {
    const driver = new VirtioDriver(plain.guest, device);
    expect(plain.guest.config(device, 0)).toBe(0x1045_1af4);
    expect(plain.guest.config(device, 8) >>> 16).toBe(0x0880);
    expect(driver.features()).toBe(bits(MUST_TELL_HOST, STATS_VQ, DEFLATE_ON_OOM, ...extra, ...common));
    expect(plain.guest.read(driver.common + 0x12, 2)).toBe(queues);
    expect(plain.guest.read(driver.common + 0x18, 2)).toBe(128);
  }
});

test('pages in the balloon take no memory of the host, and come back as zeroes', async () => {
  await using balloon = await startBalloon();
  const { guest } = balloon;
  const address = balloon.filledPages(300);
  const first = address / PAGE;
  // Neighbours in any order, some twice, and a hole at page 100 which stays the guest's.
  const pages = Array.from({ length: 300 }, (_, i) => first + i).filter((page) => page !== first + 100);
  pages.reverse().push(first + 7, first + 7);
  const request = balloon.words(...pages);
  // The rings are in memory, too, once they have been used.
  await balloon.request(INFLATE, [{ address: guest.allocate(4), length: 4, write: true }]);
  const before = balloon.hostMemory();
  expect(await balloon.request(INFLATE, [request])).toBe(0);
  expect(before - balloon.hostMemory()).toBe(299 * PAGE);
  expect(await balloon.request(DEFLATE, [request])).toBe(0);
  const bytes = guest.bytes(address, 300 * PAGE);
  const kept = bytes.slice(100 * PAGE, 101 * PAGE);
  expect(kept.every((byte) => byte === 0xaa)).toBe(true);
  bytes.fill(0, 100 * PAGE, 101 * PAGE);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  expect(balloon.broken).toEqual([]);
});

test('tells the driver the size it is to have, also before there is one, and waits for it', async () => {
  await using balloon = await startBalloon();
  const { guest, driver, worker } = balloon;
  const seen = guest.interrupts.message(CONFIG_MESSAGE);
  const done = worker.command(0, { kind: 'set-balloon', size: 9 * PAGE, wait: true });
  await guest.interrupts.nextMessage(CONFIG_MESSAGE, seen);
  expect(guest.read(driver.deviceConfig, 4)).toBe(9);
  balloon.setActual(4);
  balloon.setActual(9);
  await done;
  expect(guest.read(driver.deviceConfig + 4, 4)).toBe(9);
  // It has that size already.
  await worker.command(0, { kind: 'set-balloon', size: 9 * PAGE, wait: true });
  // What the driver must not write, it does not.
  guest.write(driver.deviceConfig, 4, 77);
  guest.write(driver.deviceConfig + 2, 4, 77);
  expect(guest.read(driver.deviceConfig, 4)).toBe(9);

  await driver.reset();
  await worker.command(0, { kind: 'set-balloon', size: 3 * PAGE, wait: false });
  expect(driver.negotiate([VERSION_1])).toBe(true);
  guest.write(driver.common + 0x10, 2, 0);
  const again = guest.interrupts.message(CONFIG_MESSAGE);
  driver.status = 15;
  await guest.interrupts.nextMessage(CONFIG_MESSAGE, again);
  expect(guest.read(driver.deviceConfig, 8)).toBe(3);
  expect(guest.read(driver.deviceConfig + 4, 4)).toBe(0);
});

test('who waits is told when that is in vain', async () => {
  await using balloon = await startBalloon();
  const { driver, worker } = balloon;
  const waits = (size: number) => worker.command(0, { kind: 'set-balloon', size, wait: true });
  const first = waits(PAGE);
  const refused = expect(first).rejects.toThrow('another size was asked for');
  const second = expect(waits(2 * PAGE)).rejects.toThrow('let go of the balloon');
  const stats = expect(worker.command(0, { kind: 'balloon-stats' })).rejects.toThrow('let go');
  await refused;
  await driver.reset();
  await second;
  await stats;
  await expect(worker.command(0, { kind: 'balloon-stats' })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('no driver'),
  });
  await expect(worker.command(0, { kind: 'resize-disk', size: 0 })).rejects.toThrow('has no resize-disk');
  const last = expect(waits(5 * PAGE)).rejects.toThrow('has ended');
  await worker[Symbol.asyncDispose]();
  await last;
});

test('asks for statistics by giving the request back, and reads the answer', async () => {
  await using balloon = await startBalloon();
  const { guest, driver, worker } = balloon;
  const queue = driver.queues[STATS];
  if (!queue) throw new Error('no queue');
  const address = guest.allocate(PAGE);
  const view = new DataView(guest.memory.buffer, guest.memory.hostOffset(address, PAGE), PAGE);
  const offer = (statistics: readonly (readonly [tag: number, value: bigint])[], extra = 0) => {
    for (const [i, [tag, value]] of statistics.entries()) {
      view.setUint16(10 * i, tag, true);
      view.setBigUint64(10 * i + 2, value, true);
    }
    const before = queue.place;
    queue.add([{ address, length: 10 * statistics.length + extra }]);
    if (queue.needsKick(before)) driver.kick(STATS);
  };
  const message = CONFIG_MESSAGE + 1 + STATS;
  offer([[4, 1n]]);
  const seen = guest.interrupts.message(message);
  const answers = [
    worker.command(0, { kind: 'balloon-stats' }),
    worker.command(0, { kind: 'balloon-stats' }),
  ];
  await guest.interrupts.nextMessage(message, seen);
  expect(queue.take()).toMatchObject({ length: 0 });
  balloon.setActual(3);
  // An unknown tag, one that comes twice, and the beginning of one more.
  offer(
    [
      [4, 123_456n],
      [5, 2n ** 40n],
      [0xffff, 5n],
      [2, 7n],
      [2, 8n],
      [15, 9n],
    ],
    9,
  );
  for (const answer of answers) {
    expect(await answer).toEqual({
      balloon: 3 * PAGE,
      freeMemory: 123_456,
      totalMemory: 2 ** 40,
      majorFaults: 8,
      directReclaims: 9,
    });
  }
  expect(balloon.broken).toEqual([]);
});

test('pages that the driver reports as free take no memory of the host', async () => {
  await using balloon = await startBalloon({ pageReporting: true });
  const { guest } = balloon;
  const address = balloon.filledPages(64);
  const before = balloon.hostMemory();
  // Two whole ranges, and one of which only the page in the middle is whole.
  await balloon.request(REPORTING, [
    { address, length: 32 * PAGE, write: true },
    { address: address + 40 * PAGE, length: 8 * PAGE, write: true },
    { address: address + 50 * PAGE + 1, length: 2 * PAGE, write: true },
    { address: address + 60 * PAGE + 1, length: PAGE - 1, write: true },
  ]);
  const gone = [...Array(32).keys(), ...Array.from({ length: 8 }, (_, i) => 40 + i), 51];
  for (let page = 0; page < 64; page++) {
    const isZero = guest.bytes(address + page * PAGE, PAGE).every((byte) => byte === 0);
    expect([page, isZero]).toEqual([page, gone.includes(page)]);
  }
  expect(before).toBeGreaterThan(0);
  expect(balloon.broken).toEqual([]);
});

test.each([
  ['a page beside memory', [RAM / PAGE - 1]],
  ['a page after memory', [RAM / PAGE + 4096]],
  ['the last page that can be named', [0xffff_ffff]],
])('a driver that gives away %s is stopped, and can start over', async (_name, pages) => {
  await using balloon = await startBalloon();
  const { guest, driver } = balloon;
  const seen = guest.interrupts.message(CONFIG_MESSAGE);
  const good = balloon.filledPages(1);
  driver.queues[INFLATE]?.add([balloon.words(...pages)]);
  driver.kick(INFLATE);
  await guest.interrupts.nextMessage(CONFIG_MESSAGE, seen);
  await balloon.isBroken();
  expect(driver.status & 0x40).toBe(0x40);
  expect(balloon.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
  expect(guest.bytes(good, 1)[0]).toBe(0xaa);
  await driver.reset();
  expect(driver.negotiate([VERSION_1, EVENT_IDX])).toBe(true);
  driver.setUpQueue(INFLATE, 16, CONFIG_MESSAGE + 1);
  driver.status = 15;
  await balloon.request(INFLATE, [balloon.words(good / PAGE)]);
  expect(guest.bytes(good, 1)[0]).toBe(0);
});

test.each([
  ['part of a page number', 6],
  ['more pages than a request may have', 4 * 16_384 + 4],
])('a request with %s stops the device', async (_name, length) => {
  await using balloon = await startBalloon();
  const { guest, driver } = balloon;
  driver.queues[INFLATE]?.add([{ address: guest.allocate(length), length }]);
  driver.kick(INFLATE);
  await balloon.isBroken();
  expect(balloon.broken).toMatchObject([{ code: 'BAD_REQUEST' }]);
});

test('requests without anything in them do nothing', async () => {
  await using balloon = await startBalloon({ pageReporting: true });
  const { guest } = balloon;
  const buffer = { address: guest.allocate(8), length: 8, write: true };
  for (const queue of [INFLATE, DEFLATE]) expect(await balloon.request(queue, [buffer])).toBe(0);
  expect(await balloon.request(REPORTING, [{ ...buffer, write: false }])).toBe(0);
  expect(balloon.broken).toEqual([]);
});
