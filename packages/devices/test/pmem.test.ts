import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtioPciDevice } from '../src/index.ts';
import { EVENT_IDX, type Guest, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';

const directory = mkdtempSync(join(tmpdir(), 'pmem-'));
afterAll(() => rmSync(directory, { recursive: true }));

const RANGE = { start: 0x8_4000_0000, size: 2 ** 21 };

function startDriver(guest: Guest): VirtioDriver {
  const driver = new VirtioDriver(guest, 1);
  driver.enableMsix();
  expect(driver.negotiate([VERSION_1, EVENT_IDX])).toBe(true);
  driver.setUpQueue(0, 16, 3);
  driver.status = 15;
  return driver;
}

/** Sends a request of one word (virtio 1.3, section 5.19.6). @returns the address of its answer */
function send(driver: VirtioDriver, type: number): number {
  const { guest } = driver;
  const queue = driver.queues[0];
  if (!queue) throw new Error('no queue');
  const request = guest.allocate(4);
  guest.bytes(request, 4).set(new Uint8Array(Uint32Array.of(type).buffer));
  const answer = guest.allocate(4);
  guest.bytes(answer, 4).fill(0xee);
  const before = queue.place;
  queue.add([
    { address: request, length: 4 },
    { address: answer, length: 4, write: true },
  ]);
  if (queue.needsKick(before)) driver.kick(0);
  return answer;
}

/** Sends a request, and resolves with its answer. */
async function ask(driver: VirtioDriver, type: number): Promise<number> {
  const { guest } = driver;
  const answer = send(driver, type);
  for (;;) {
    const seen = guest.interrupts.message(3);
    if (driver.queues[0]?.take()) return Buffer.from(guest.bytes(answer, 4)).readInt32LE();
    await guest.interrupts.nextMessage(3, seen);
  }
}

test.each([
  ['a file', true],
  ['no file', false],
])('persistent memory of %s is where it says, and flushes', async (_what, hasFile) => {
  const path = join(directory, 'memory');
  writeFileSync(path, new Uint8Array(RANGE.size));
  await using machine = await startMachine([VirtioPciDevice.pmem(RANGE, hasFile ? { path } : undefined)]);
  const driver = startDriver(machine.guest);
  const words = [0, 4, 8, 12].map((offset) => machine.guest.read(driver.deviceConfig + offset, 4));
  expect(words).toEqual([0x4000_0000, 8, 2 ** 21, 0]);
  for (let i = 0; i < 20; i++) expect(await ask(driver, 0)).toBe(0);
  expect(machine.broken).toEqual([]);
});

test('a request that is no flush stops the device, which a reset revives', async () => {
  await using machine = await startMachine([VirtioPciDevice.pmem(RANGE)]);
  const driver = startDriver(machine.guest);
  send(driver, 1);
  while (machine.broken.length === 0) await new Promise(setImmediate);
  expect(machine.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
  await driver.reset();
  expect(await ask(startDriver(machine.guest), 0)).toBe(0);
});
