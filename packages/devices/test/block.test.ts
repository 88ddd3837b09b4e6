import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtioPciDevice } from '../src/index.ts';
import {
  EVENT_IDX,
  type Guest,
  type GuestBuffer,
  INDIRECT_DESC,
  VERSION_1,
  VirtioDriver,
} from './support/guest.ts';
import { startMachine } from './support/machine.ts';

const directory = mkdtempSync(join(tmpdir(), 'block-'));
afterAll(() => rmSync(directory, { recursive: true }));

function image(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const F_RO = 5;
const F_FLUSH = 9;
const F_DISCARD = 13;
const F_WRITE_ZEROES = 14;
const IN = 0;
const OUT = 1;
const FLUSH = 4;
const GET_ID = 8;
const DISCARD = 11;
const WRITE_ZEROES = 13;

/** A block driver on queue 0 with MSI message 3. */
class BlockDriver {
  readonly driver: VirtioDriver;
  readonly guest: Guest;
  constructor(guest: Guest, features: readonly number[] = [F_FLUSH, F_DISCARD, F_WRITE_ZEROES]) {
    this.guest = guest;
    this.driver = new VirtioDriver(guest, 1);
    this.driver.enableMsix();
    expect(this.driver.negotiate([VERSION_1, EVENT_IDX, INDIRECT_DESC, ...features])).toBe(true);
    this.driver.setUpQueue(0, 64, 3);
    this.driver.status = 15;
  }

  /** Sends a request and resolves with its status and used length. */
  async request(type: number, sector: number, data: readonly GuestBuffer[], indirect = false) {
    const { guest, driver } = this;
    const queue = driver.queues[0];
    if (!queue) throw new Error('no queue');
    const header = guest.allocate(16);
    const view = new DataView(guest.memory.buffer, guest.memory.hostOffset(header, 16), 16);
    view.setUint32(0, type, true);
    view.setBigUint64(8, BigInt(sector), true);
    const status = guest.allocate(1);
    guest.bytes(status, 1)[0] = 0xee;
    const before = queue.available;
    const seen = guest.interrupts.message(3);
    const head = queue.add(
      [{ address: header, length: 16 }, ...data, { address: status, length: 1, write: true }],
      indirect,
    );
    if (queue.needsKick(before)) driver.kick(0);
    let used = queue.take();
    while (!used) {
      await guest.interrupts.nextMessage(3, seen);
      used = queue.take();
    }
    expect(used.id).toBe(head);
    return { status: guest.bytes(status, 1)[0], length: used.length };
  }

  buffer(bytes: number | Uint8Array, write: boolean): GuestBuffer {
    const length = typeof bytes === 'number' ? bytes : bytes.length;
    const address = this.guest.allocate(length);
    if (typeof bytes !== 'number') this.guest.bytes(address, length).set(bytes);
    return { address, length, write };
  }
}

test('the configuration says what the image is', async () => {
  const path = image('config', new Uint8Array(10 * 512 + 100));
  await using machine = await startMachine([VirtioPciDevice.block({ path }, { blockSize: 4096, id: 'x' })]);
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  const config = driver.deviceConfig;
  expect(guest.read(config, 4)).toBe(10);
  expect(guest.read(config + 4, 4)).toBe(0);
  expect(guest.read(config + 12, 4)).toBe(254);
  expect(guest.read(config + 20, 4)).toBe(4096);
  expect(guest.read(config + 34, 2)).toBe(16);
  expect(guest.read(config + 36, 4)).toBe(0xffff_ffff);
  expect(guest.read(config + 56, 1)).toBe(1);
  const offered = [2, 6, 9, 12, 13, 14, 28, 29, 32].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
  expect(driver.features()).toBe(offered);
});

test('reads and writes land between the file and guest memory, in whatever pieces the driver chose', async () => {
  const content = randomBytes(1 << 20);
  const path = image('disk', content);
  {
    await using machine = await startMachine([VirtioPciDevice.block({ path }, { id: 'disk-0' })]);
    const block = new BlockDriver(machine.guest);

    for (const indirect of [false, true]) {
      const pieces = [512, 100, 4096 - 100, 1, 511, 8192].map((length) => block.buffer(length, true));
      const total = pieces.reduce((sum, { length }) => sum + length, 0);
      expect(await block.request(IN, 7, pieces, indirect)).toEqual({ status: 0, length: total + 1 });
      const read = Buffer.concat(pieces.map(({ address, length }) => machine.guest.bytes(address, length)));
      expect(read.compare(content, 7 * 512, 7 * 512 + total)).toBe(0);
    }

    const written = randomBytes(64 * 512);
    const cuts = [0, 300, 512, 5000, written.length];
    const pieces = cuts.slice(1).map((end, i) => block.buffer(written.subarray(cuts[i], end), false));
    expect(await block.request(OUT, 100, pieces, true)).toEqual({ status: 0, length: 1 });
    written.copy(content, 100 * 512);

    const id = block.buffer(20, true);
    expect(await block.request(GET_ID, 0, [id])).toEqual({ status: 0, length: 21 });
    expect(Buffer.from(machine.guest.bytes(id.address, 20)).toString()).toBe('disk-0'.padEnd(20, '\0'));

    expect((await block.request(FLUSH, 0, [])).status).toBe(0);
    expect(machine.broken).toEqual([]);
  }
  const expected = image('expected', content);
  execFileSync('cmp', [path, expected]);
});

test('what lies outside of the disk, or is not allowed, fails without touching it', async () => {
  const content = randomBytes(8 * 512);
  const path = image('limits', content);
  await using machine = await startMachine([VirtioPciDevice.block({ path })]);
  const block = new BlockDriver(machine.guest);
  const sector = () => block.buffer(512, true);
  expect((await block.request(IN, 7, [sector()])).status).toBe(0);
  expect((await block.request(IN, 8, [sector()])).status).toBe(1);
  expect((await block.request(IN, 7, [sector(), sector()])).status).toBe(1);
  expect((await block.request(IN, 2 ** 53, [sector()])).status).toBe(1);
  expect((await block.request(IN, 0, [block.buffer(100, true)])).status).toBe(1);
  expect((await block.request(OUT, 8, [block.buffer(512, false)])).status).toBe(1);
  expect((await block.request(99, 0, [])).status).toBe(2);
  expect((await block.request(GET_ID, 0, [block.buffer(19, true)])).status).toBe(1);
  expect(readFileSync(path).compare(content)).toBe(0);
});

test('a read-only disk says so and refuses everything that changes it', async () => {
  const content = randomBytes(4096);
  const path = image('read-only', content);
  await using machine = await startMachine([VirtioPciDevice.block({ path, readOnly: true })]);
  const features = new VirtioDriver(machine.guest, 1).features();
  expect(features & (1n << BigInt(F_RO))).not.toBe(0n);
  expect(features & ((1n << BigInt(F_FLUSH)) | (1n << BigInt(F_DISCARD)))).toBe(0n);
  const block = new BlockDriver(machine.guest, [F_RO]);
  expect((await block.request(OUT, 0, [block.buffer(512, false)])).status).toBe(1);
  expect((await block.request(WRITE_ZEROES, 0, [block.buffer(range(0, 1, 0), false)])).status).toBe(1);
  expect((await block.request(IN, 0, [block.buffer(512, true)])).status).toBe(0);
  expect(readFileSync(path).compare(content)).toBe(0);
});

test('discard frees the space, and write zeroes writes them', async () => {
  const content = randomBytes(1 << 20);
  const path = image('sparse', content);
  await using machine = await startMachine([VirtioPciDevice.block({ path })]);
  const block = new BlockDriver(machine.guest);
  const before = statSync(path).blocks;
  const ranges = Buffer.concat([range(0, 512, 0), range(1024, 256, 0)]);
  expect((await block.request(DISCARD, 0, [block.buffer(ranges, false)])).status).toBe(0);
  expect(statSync(path).blocks).toBeLessThanOrEqual(before - 700);
  expect(statSync(path).size).toBe(1 << 20);
  expect((await block.request(WRITE_ZEROES, 0, [block.buffer(range(600, 9, 0), false)])).status).toBe(0);
  expect((await block.request(WRITE_ZEROES, 0, [block.buffer(range(700, 9, 1), false)])).status).toBe(0);
  content.fill(0, 0, 512 * 512).fill(0, 1024 * 512, 1280 * 512);
  content.fill(0, 600 * 512, 609 * 512).fill(0, 700 * 512, 709 * 512);
  expect(readFileSync(path).compare(content)).toBe(0);
  for (const bad of [range(0, 1, 1), range(0, 1, 2)]) {
    expect((await block.request(DISCARD, 0, [block.buffer(bad, false)])).status).toBe(2);
  }
  expect((await block.request(DISCARD, 0, [block.buffer(range(2047, 2, 0), false)])).status).toBe(1);
  expect((await block.request(WRITE_ZEROES, 0, [block.buffer(range(0, 1, 2), false)])).status).toBe(2);
  expect((await block.request(DISCARD, 0, [block.buffer(15, false)])).status).toBe(1);
});

function range(sector: number, count: number, flags: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(sector));
  bytes.writeUInt32LE(count, 8);
  bytes.writeUInt32LE(flags, 12);
  return bytes;
}

test('an image that shrinks under the guest is an I/O error, and the device goes on', async () => {
  const path = image('shrinking', randomBytes(8192));
  await using machine = await startMachine([VirtioPciDevice.block({ path })]);
  const block = new BlockDriver(machine.guest);
  truncateSync(path, 1024);
  expect((await block.request(IN, 4, [block.buffer(512, true)])).status).toBe(1);
  expect((await block.request(IN, 1, [block.buffer(512, true)])).status).toBe(0);
  expect(machine.broken).toEqual([]);
});

test('what the guest has put into the queue before the machine stops is on the disk afterwards', async () => {
  const path = image('stopping', new Uint8Array(64 * 512));
  const content = randomBytes(64 * 512);
  {
    await using machine = await startMachine([VirtioPciDevice.block({ path })]);
    const { guest } = machine;
    const block = new BlockDriver(guest);
    await block.request(FLUSH, 0, []);
    const queue = block.driver.queues[0];
    for (let sector = 0; sector < 16; sector++) {
      const header = Buffer.alloc(16);
      header.writeUInt32LE(OUT);
      header.writeUInt32LE(4 * sector, 8);
      // Nobody is told: the device finds the requests when it stops.
      queue?.add(
        [
          block.buffer(header, false),
          block.buffer(content.subarray(4 * sector * 512, (4 * sector + 4) * 512), false),
          block.buffer(1, true),
        ],
        true,
      );
    }
  }
  expect(readFileSync(path).equals(content)).toBe(true);
});

test('an image that is not there, or in use, says what to do', async () => {
  expect(() => VirtioPciDevice.block({ path: join(directory, 'missing') })).toThrow(
    expect.objectContaining({ code: 'BACKEND_FAILED', message: expect.stringContaining('missing') }),
  );
  const path = image('locked', new Uint8Array(512));
  await using _first = await startMachine([VirtioPciDevice.block({ path })]);
  await expect(startMachine([VirtioPciDevice.block({ path })])).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('in use'),
  });
});
