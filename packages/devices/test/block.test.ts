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
  RING_PACKED,
  RING_RESET,
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

const MIB = 2 ** 20;
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
    this.start(features);
  }

  start(features: readonly number[]): void {
    const { driver, guest } = this;
    driver.setVector(0, 2);
    expect(driver.negotiate([VERSION_1, EVENT_IDX, INDIRECT_DESC, ...features])).toBe(true);
    guest.write(driver.common + 0x10, 2, 0);
    driver.setUpQueue(0, 64, 3);
    driver.status = 15;
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
    const before = queue.place;
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
  await using machine = await startMachine([
    await VirtioPciDevice.block({ path }, { blockSize: 4096, id: 'x' }),
  ]);
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
  const offered = [2, 6, 9, 12, 13, 14, 28, 29, 32, 40].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
  expect(driver.features()).toBe(offered);
});

test('reads and writes land between the file and guest memory, in whatever pieces the driver chose', async () => {
  const content = randomBytes(1 << 20);
  const path = image('disk', content);
  {
    await using machine = await startMachine([await VirtioPciDevice.block({ path }, { id: 'disk-0' })]);
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
  await using machine = await startMachine([await VirtioPciDevice.block({ path })]);
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
  await using machine = await startMachine([await VirtioPciDevice.block({ path, readOnly: true })]);
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
  await using machine = await startMachine([await VirtioPciDevice.block({ path })]);
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

test('an image that shrinks under the guest reads as zero where it was, as in QEMU', async () => {
  const content = randomBytes(8192);
  const path = image('shrinking', content);
  await using machine = await startMachine([await VirtioPciDevice.block({ path, format: 'raw' })]);
  const block = new BlockDriver(machine.guest);
  truncateSync(path, 1024);
  const pieces = [block.buffer(1024, true)];
  expect((await block.request(IN, 1, pieces)).status).toBe(0);
  const expected = Buffer.alloc(1024);
  content.copy(expected, 0, 512, 1024);
  expect(expected.equals(machine.guest.bytes(pieces[0]?.address ?? 0, 1024))).toBe(true);
  expect(machine.broken).toEqual([]);
});

test('what the guest has put into the queue before the machine stops is on the disk afterwards', async () => {
  const path = image('stopping', new Uint8Array(64 * 512));
  const content = randomBytes(64 * 512);
  {
    await using machine = await startMachine([await VirtioPciDevice.block({ path })]);
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
  await expect(VirtioPciDevice.block({ path: join(directory, 'missing') })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('missing'),
  });
  const path = image('locked', new Uint8Array(512));
  await using _first = await startMachine([await VirtioPciDevice.block({ path })]);
  await expect(startMachine([await VirtioPciDevice.block({ path })])).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('being used by'),
  });
});

const formats = [
  ['raw', (path: string) => writeFileSync(path, new Uint8Array(MIB))],
  ['qcow2', (path: string) => execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, `${MIB}`])],
] as const;
const variants = (['auto', 'epoll'] as const).flatMap((executor) =>
  formats.flatMap(([format, create]) =>
    [false, true].map((packedQueue) => ({ executor, format, create, packedQueue })),
  ),
);

test.for(variants)(
  'many requests at once, on $format with $executor, packed $packedQueue, leave what they wrote',
  async ({ executor, format, create, packedQueue }) => {
    const path = join(directory, `many-${executor}-${format}-${packedQueue}`);
    create(path);
    const content = randomBytes(MIB);
    {
      await using machine = await startMachine([
        await VirtioPciDevice.block({ path, executor, format }, { packedQueue }),
      ]);
      const { guest } = machine;
      const block = new BlockDriver(guest, [F_FLUSH, ...(packedQueue ? [RING_PACKED] : [])]);
      const [queue] = block.driver.queues;
      if (!queue) throw new Error('no queue');
      const header = block.buffer(Buffer.alloc(16), false);
      const headers = Array.from({ length: 16 }, () => block.buffer(Buffer.alloc(16), false));
      const data = block.buffer(content, false);
      const status = block.buffer(Buffer.alloc(16, 0xee), true);
      const LENGTH = 4096;
      let next = 0;
      let ended = 0;
      const free = headers.map((_, slot) => slot);
      const slots = new Map<number, number>();
      const total = content.length / LENGTH;
      while (ended < total) {
        const seen = guest.interrupts.message(3);
        const before = queue.place;
        for (let slot = free.pop(); slot !== undefined && next < total; slot = free.pop()) {
          const at = headers[slot] ?? header;
          const view = new DataView(guest.memory.buffer, guest.memory.hostOffset(at.address, 16), 16);
          view.setUint32(0, OUT, true);
          view.setUint32(8, (next * LENGTH) / 512, true);
          const id = queue.add(
            [
              { address: at.address, length: 16 },
              { address: data.address + next * LENGTH, length: LENGTH },
              { address: status.address + slot, length: 1, write: true },
            ],
            next % 2 === 0,
          );
          slots.set(id, slot);
          next++;
        }
        if (queue.needsKick(before)) block.driver.kick(0);
        let used = queue.take();
        if (!used) {
          await guest.interrupts.nextMessage(3, seen);
          used = queue.take();
        }
        for (; used; used = queue.take()) {
          const slot = slots.get(used.id) ?? -1;
          slots.delete(used.id);
          expect([used.length, guest.bytes(status.address + slot, 1)[0]]).toEqual([1, 0]);
          guest.bytes(status.address + slot, 1)[0] = 0xee;
          free.push(slot);
          ended++;
        }
      }
      expect((await block.request(FLUSH, 0, [])).status).toBe(0);
      expect(machine.broken).toEqual([]);
      expect(machine.log).toEqual([expect.stringMatching(/^disks do their I\/O on (io_uring|epoll)/)]);
    }
    const raw = `${path}.raw`;
    execFileSync('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw]);
    expect(readFileSync(raw).equals(content)).toBe(true);
  },
);

test('a reset waits for what is under way, and the device then starts anew', async () => {
  const path = image('reset', randomBytes(MIB));
  await using machine = await startMachine([
    await VirtioPciDevice.block({ path }, { packedQueue: true, queueCount: 2 }),
  ]);
  const { guest } = machine;
  const block = new BlockDriver(guest, [RING_PACKED, F_FLUSH]);
  for (let round = 0; round < 10; round++) {
    const target = block.buffer(65_536, true);
    const [queue] = block.driver.queues;
    for (let i = 0; i < 8; i++) {
      const parts = [block.buffer(Buffer.alloc(16), false), target, block.buffer(1, true)];
      queue?.add(parts, true);
    }
    block.driver.kick(0);
    await block.driver.reset();
    // From here on the memory is the driver's own.
    const bytes = guest.bytes(target.address, target.length).fill(0x55);
    block.start([RING_PACKED, F_FLUSH]);
    expect((await block.request(FLUSH, 0, [])).status).toBe(0);
    expect(bytes.every((byte) => byte === 0x55)).toBe(true);
  }
});

test('a queue alone is reset and enabled again, while the device goes on', async () => {
  const path = image('ring-reset', randomBytes(MIB));
  await using machine = await startMachine([await VirtioPciDevice.block({ path })]);
  const { guest } = machine;
  const block = new BlockDriver(guest, [F_FLUSH, RING_RESET]);
  const { driver } = block;
  const { common } = driver;
  for (let round = 0; round < 5; round++) {
    expect((await block.request(IN, 3, [block.buffer(4096, true)])).status).toBe(0);
    guest.write(common + 0x16, 2, 0);
    guest.write(common + 0x3a, 2, 1);
    while (guest.read(common + 0x3a, 2) !== 0) await new Promise(setImmediate);
    expect([guest.read(common + 0x1c, 2), guest.read(common + 0x18, 2)]).toEqual([0, 256]);
    expect(driver.status).toBe(15);
    // Of another size, elsewhere.
    driver.setUpQueue(0, 1 << (round + 2), 3);
  }
  expect((await block.request(FLUSH, 0, [])).status).toBe(0);
  expect(machine.broken).toEqual([]);
});

test('a disk grows under the guest, which is told', async () => {
  const path = image('growing', new Uint8Array(MIB));
  await using machine = await startMachine([await VirtioPciDevice.block({ path })]);
  const { guest, worker } = machine;
  const block = new BlockDriver(guest);
  const { deviceConfig, common } = block.driver;
  const generation = guest.read(common + 0x15, 1);
  expect((await block.request(OUT, 4000, [block.buffer(512, false)])).status).toBe(1);
  const seen = guest.interrupts.message(2);
  await worker.command(0, { kind: 'resize-disk', size: 2 * MIB });
  await guest.interrupts.nextMessage(2, seen);
  expect(guest.read(deviceConfig, 4)).toBe((2 * MIB) / 512);
  expect(guest.read(common + 0x15, 1)).not.toBe(generation);
  expect((await block.request(OUT, 4000, [block.buffer(512, false)])).status).toBe(0);
  expect(statSync(path).size).toBe(2 * MIB);
  await expect(worker.command(1, { kind: 'resize-disk', size: MIB })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
  });
});

test('an image of another format is read as the disk that it is, and keeps its size when read-only', async () => {
  const raw = image('to-compress', randomBytes(MIB));
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, `${raw}.qcow2`]);
  await using machine = await startMachine([
    await VirtioPciDevice.block({ path: `${raw}.qcow2`, readOnly: true }),
  ]);
  const block = new BlockDriver(machine.guest, [F_RO]);
  const target = block.buffer(MIB, true);
  expect((await block.request(IN, 0, [target])).status).toBe(0);
  expect(readFileSync(raw).equals(machine.guest.bytes(target.address, MIB))).toBe(true);
  await expect(machine.worker.command(0, { kind: 'resize-disk', size: 2 * MIB })).rejects.toMatchObject({
    message: expect.stringContaining('read-only'),
  });
});
