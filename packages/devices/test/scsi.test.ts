import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { VirtioPciDevice } from '../src/index.ts';
import { startMachine } from './support/machine.ts';
import { hex, lunOf, REQUEST, ScsiDriver } from './support/scsi-driver.ts';

const directory = mkdtempSync(join(tmpdir(), 'scsi-'));
afterAll(() => rmSync(directory, { recursive: true }));

const BLOCK = 512;
const TEST_UNIT_READY = '00 00 00 00 00 00';

interface Image {
  readonly bytes: Uint8Array;
  readonly readOnly?: boolean;
  readonly blockSize?: number;
}

/** A machine with a SCSI adapter, and a driver that knows that the units have been started. */
async function start(...images: readonly Image[]) {
  const disks = images.map(({ bytes, readOnly = false, blockSize = BLOCK }, target) => {
    const path = join(directory, `${crypto.randomUUID()}-${target}`);
    writeFileSync(path, bytes);
    return { disk: { path, readOnly, format: 'raw' as const }, blockSize };
  });
  const machine = await startMachine([await VirtioPciDevice.scsi(disks)]);
  const driver = new ScsiDriver(machine.guest);
  for (const target of disks.keys()) {
    expect(await driver.command(TEST_UNIT_READY, { lun: lunOf(target) })).toMatchObject({ sense: '6/29/0' });
  }
  return {
    ...machine,
    driver,
    path: disks[0]?.disk.path ?? '',
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

/** A CDB with a logical block address of 4 or 8 bytes, and a length field at the end. */
function cdb(opcode: number, flags: number, lba: number, length: number): string {
  const bytes = Buffer.alloc([6, 10, 10, 0, 16, 12][opcode >> 5] ?? 0);
  bytes.writeUInt32BE(lba, bytes.length === 16 ? 6 : 2);
  if (bytes.length === 10) bytes.writeUInt16BE(length, 7);
  else bytes.writeUInt32BE(length, bytes.length === 12 ? 6 : 10);
  bytes[0] = opcode;
  bytes[1] = flags;
  return bytes.toString('hex');
}

test('the configuration is the one of the specification, and its two sizes are for the driver to choose', async () => {
  await using machine = await start({ bytes: new Uint8Array(BLOCK) }, { bytes: new Uint8Array(BLOCK) });
  const { guest, driver } = machine;
  const config = driver.driver.deviceConfig;
  const words = () => [0, 4, 8, 12, 16, 20, 24, 32].map((offset) => guest.read(config + offset, 4));
  expect(words()).toEqual([16, 1022, 0xffff, 128, 16, 96, 32, 0]);
  expect([28, 30].map((offset) => guest.read(config + offset, 2))).toEqual([0, 1]);
  guest.write(config + 20, 4, 8);
  guest.write(config + 24, 4, 16);
  const refused = await driver.command('ff', { cdbSize: 16, senseSize: 8 });
  expect(refused).toMatchObject({ status: 2, response: 0 });
  expect(refused.senseBytes).toHaveLength(8);
  await driver.driver.reset();
  expect(words()).toEqual([16, 1022, 0xffff, 128, 16, 96, 32, 0]);
});

test('reads and writes of every length land between the file and guest memory', async () => {
  const content = randomBytes(4096 * BLOCK);
  await using machine = await start({ bytes: content });
  const { driver } = machine;
  const at = (block: number, count = 1) => content.subarray(block * BLOCK, (block + count) * BLOCK);
  const three = { room: 3 * BLOCK };
  for (const text of [
    '08 00 01 05 03 00',
    cdb(0x28, 0, 0x105, 3),
    cdb(0xa8, 0, 0x105, 3),
    cdb(0x88, 0x18, 0x105, 3),
  ]) {
    expect(await driver.command(text, three), text).toMatchObject({
      status: 0,
      residual: 0,
      data: at(0x105, 3),
    });
  }
  // No blocks are 256 in a command of 6 bytes, and none in the others.
  expect((await driver.command('08 00 00 00 00 00', { room: 256 * BLOCK })).data.equals(at(0, 256))).toBe(
    true,
  );
  expect(await driver.command(cdb(0x28, 0, 0, 0), { room: BLOCK })).toMatchObject({
    status: 0,
    residual: BLOCK,
  });
  let block = 8;
  for (const text of [
    '0a 00 00 08 02 00',
    cdb(0x2a, 0, 10, 2),
    cdb(0xaa, 0, 12, 2),
    cdb(0x8a, 0x08, 14, 2),
  ]) {
    const out = randomBytes(2 * BLOCK);
    expect(await driver.command(text, { out }), text).toMatchObject({ status: 0, residual: 0 });
    at(block, 2).set(out);
    block += 2;
  }
  expect(await driver.command('35 00 00 00 00 00 00 00 00 00')).toMatchObject({ status: 0 });
  expect(await driver.command(cdb(0x91, 2, 0, 0))).toMatchObject({ status: 0 });
  expect(readFileSync(machine.path).equals(content)).toBe(true);
});

test('VERIFY compares when it is told to', async () => {
  const content = randomBytes(64 * BLOCK);
  await using machine = await start({ bytes: content });
  const { driver } = machine;
  const out = content.subarray(5 * BLOCK, 25 * BLOCK);
  const wrong = Buffer.from(out);
  wrong[19 * BLOCK] = (wrong[19 * BLOCK] ?? 0) ^ 1;
  for (const opcode of [0x2f, 0xaf, 0x8f]) {
    expect(await driver.command(cdb(opcode, 0, 5, 20))).toMatchObject({ status: 0 });
    expect(await driver.command(cdb(opcode, 2, 5, 20), { out })).toMatchObject({ status: 0 });
    expect(await driver.command(cdb(opcode, 2, 5, 20), { out: wrong })).toMatchObject({
      status: 2,
      sense: 'e/1d/0',
    });
  }
});

test('WRITE SAME repeats a block, and UNMAP gives space back', async () => {
  const content = randomBytes(2048 * BLOCK);
  await using machine = await start({ bytes: content });
  const { driver, path } = machine;
  const block = randomBytes(BLOCK);
  expect(await driver.command(cdb(0x41, 0, 7, 1000), { out: block })).toMatchObject({ status: 0 });
  content.fill(block, 7 * BLOCK, 1007 * BLOCK);
  expect(await driver.command(cdb(0x93, 8, 1007, 3), { out: new Uint8Array(BLOCK) })).toMatchObject({
    status: 0,
  });
  expect(await driver.command(cdb(0x93, 9, 1010, 3))).toMatchObject({ status: 0 });
  content.fill(0, 1007 * BLOCK, 1013 * BLOCK);
  expect(readFileSync(path).equals(content)).toBe(true);

  const before = statSync(path).blocks;
  const list = Buffer.alloc(8 + 2 * 16);
  list.writeUInt16BE(list.length - 2);
  list.writeUInt16BE(32, 2);
  list.writeUInt32BE(1024, 12);
  list.writeUInt32BE(512, 16);
  list.writeUInt32BE(1792, 28);
  list.writeUInt32BE(128, 32);
  const unmap = cdb(0x42, 0, 0, list.length);
  expect(await driver.command(unmap, { out: list })).toMatchObject({ status: 0, residual: 0 });
  expect(statSync(path).blocks).toBeLessThanOrEqual(before - 600);
  content.fill(0, 1024 * BLOCK, 1536 * BLOCK).fill(0, 1792 * BLOCK, 1920 * BLOCK);
  expect(readFileSync(path).equals(content)).toBe(true);

  // A range that is not there, and more ranges than came.
  list.writeUInt32BE(2048, 28);
  expect(await driver.command(unmap, { out: list })).toMatchObject({ sense: '5/21/0' });
  list.writeUInt16BE(64, 2);
  expect(await driver.command(unmap, { out: list })).toMatchObject({ sense: '5/1a/0' });
  expect(await driver.command(cdb(0x42, 0, 0, 0))).toMatchObject({ status: 0 });
});

test('what cannot be served says why, in sense data of the fixed format', async () => {
  await using machine = await start(
    { bytes: randomBytes(8 * BLOCK) },
    { bytes: randomBytes(8 * BLOCK), readOnly: true },
  );
  const { driver } = machine;
  const block = { out: new Uint8Array(BLOCK) };
  const unknown = await driver.command('ff');
  expect(unknown).toMatchObject({ response: 0, status: 2, sense: '5/20/0' });
  expect(unknown.senseBytes).toEqual(hex('70 00 05 00000000 0a 00000000 20 00 00 c0 0000'));
  // A field that is not supported is named: RDPROTECT, the group, a control byte, a service action, a page.
  expect((await driver.command(cdb(0x28, 0x20, 0, 1))).senseBytes.subarray(15)).toEqual(hex('c0 00 01'));
  expect((await driver.command('28 00 00000000 05 0001 00')).senseBytes.subarray(15)).toEqual(
    hex('c0 00 06'),
  );
  expect((await driver.command('00 00 00 00 00 04')).senseBytes.subarray(15)).toEqual(hex('c0 00 05'));
  expect((await driver.command('9e 12')).senseBytes.subarray(12)).toEqual(hex('24 00 00 c0 0001'));
  expect((await driver.command('12 01 55 00 ff 00')).senseBytes.subarray(12)).toEqual(
    hex('24 00 00 c0 0002'),
  );
  expect((await driver.command(cdb(0x41, 0, 0, 0), block)).senseBytes.subarray(12)).toEqual(
    hex('24 00 00 c0 0007'),
  );
  // Blocks that are not there.
  for (const text of [
    '08 00 00 08 01 00',
    cdb(0x28, 0, 7, 2),
    cdb(0x88, 0, 0xffff_ffff, 1),
    cdb(0x2f, 0, 8, 1),
  ]) {
    expect(await driver.command(text, { room: 2 * BLOCK }), text).toMatchObject({
      status: 2,
      sense: '5/21/0',
    });
  }
  expect(await driver.command('88 00 ffffffffffffffff 00000001 0000', { room: BLOCK })).toMatchObject({
    sense: '5/21/0',
  });
  // A disk that cannot be written.
  const lun = lunOf(1);
  for (const text of ['0a 00 00 00 01 00', cdb(0x2a, 0, 0, 1), cdb(0x41, 0, 0, 1), cdb(0x42, 0, 0, 0)]) {
    expect(await driver.command(text, { ...block, lun }), text).toMatchObject({ status: 2, sense: '7/27/0' });
  }
  expect(await driver.command(cdb(0x35, 0, 0, 0), { lun })).toMatchObject({ status: 0 });
  // Less room, or data, than the command needs.
  expect(await driver.command(cdb(0x28, 0, 0, 2), { room: BLOCK })).toMatchObject({
    response: 1,
    residual: BLOCK,
  });
  expect(await driver.command(cdb(0x2a, 0, 0, 2), block)).toMatchObject({ response: 1, residual: BLOCK });
  expect(machine.broken).toEqual([]);
});

test('a unit that was stopped serves its medium when it is started again', async () => {
  await using machine = await start({ bytes: randomBytes(8 * BLOCK) });
  const { driver } = machine;
  expect(await driver.command('1b 00 00 00 00 00')).toMatchObject({ status: 0 });
  expect(await driver.command(cdb(0x28, 0, 0, 1), { room: BLOCK })).toMatchObject({ sense: '2/4/2' });
  expect(await driver.command(TEST_UNIT_READY)).toMatchObject({ sense: '2/4/2' });
  expect(await driver.command('12 00 00 00 24 00', { room: 36 })).toMatchObject({ status: 0 });
  expect(await driver.command('1b 01 00 00 01 00')).toMatchObject({ status: 0 });
  expect(await driver.command(TEST_UNIT_READY)).toMatchObject({ status: 0 });
  expect(await driver.command('1e 00 00 00 01 00')).toMatchObject({ status: 0 });
});

test('places without a logical unit are told from those without a target', async () => {
  await using machine = await start({ bytes: randomBytes(8 * BLOCK) });
  const { driver } = machine;
  for (const lun of [
    lunOf(1),
    [2, 0, 0x40, 0, 0, 0, 0, 0],
    [1, 0, 0x80, 0, 0, 0, 0, 0],
    [1, 0, 0x40, 0, 0, 1, 0, 0],
  ]) {
    expect(await driver.command(TEST_UNIT_READY, { lun })).toMatchObject({ response: 3 });
  }
  const lun = lunOf(0, 300);
  expect(await driver.command(TEST_UNIT_READY, { lun })).toMatchObject({ response: 0, sense: '5/25/0' });
  expect((await driver.command('12 00 00 00 24 00', { lun, room: 36 })).data[0]).toBe(0x7f);
  expect((await driver.command('03 00 00 00 12 00', { lun, room: 18 })).data[12]).toBe(0x25);
  const luns = hex('00000008 00000000 0000000000000000');
  for (const where of [lun, lunOf(0)]) {
    const report = await driver.command('a0 00 00 000000 00000010 0000', { lun: where, room: 16 });
    expect(report.data).toEqual(luns);
  }
});

test('MODE SELECT takes what MODE SENSE tells, and nothing else', async () => {
  await using machine = await start({ bytes: randomBytes(64 * BLOCK), blockSize: 4096 });
  const { driver } = machine;
  const sensed = await driver.command('1a 00 3f 00 ff 00', { room: 255 });
  const six = sensed.data.subarray(0, (sensed.data[0] ?? 0) + 1);
  expect(six).toEqual(
    hex(`2b 00 10 08  00000008 00001000  08 12 04 00 ${'00'.repeat(16)}  0a 0a 02 10 0000000000000000`),
  );
  const ten = await driver.command('5a 10 08 00 000000 00ff 00', { room: 255 });
  expect(ten.data.subarray(0, 24)).toEqual(hex('002a 00 10 01 00 0010  0000000000000008 00000000 00001000'));
  expect((await driver.command('1a 08 48 00 ff 00', { room: 24 })).data).toEqual(
    hex(`17 00 10 00 08 12 ${'00'.repeat(18)}`),
  );
  expect(await driver.command('1a 00 c8 00 ff 00', { room: 24 })).toMatchObject({ sense: '5/39/0' });

  const select = Buffer.from(six);
  select[0] = 0;
  const text = `15 10 00 00 ${select.length.toString(16)} 00`;
  expect(await driver.command(text, { out: select })).toMatchObject({ status: 0 });
  select[14] = 0;
  const refused = await driver.command(text, { out: select });
  expect(refused.senseBytes.subarray(12)).toEqual(hex('26 00 00 80 000e'));
});

test('task management ends commands, and a reset is told of', async () => {
  await using machine = await start({ bytes: randomBytes(2048 * BLOCK) });
  const { driver } = machine;
  const [abort, clearAca, reset, query, querySet] = [0, 2, 5, 6, 7] as const;
  expect(await driver.manage(query)).toBe(0);
  expect(await driver.manage(abort)).toBe(0);
  expect(await driver.manage(clearAca)).toBe(11);
  expect(await driver.manage(querySet, { lun: lunOf(3) })).toBe(3);
  expect(await driver.manage(querySet, { lun: lunOf(0, 1) })).toBe(12);
  // Queries and subscriptions of events: there are none.
  expect(await driver.control(hex('01000000 0100400000000000 ffffffff'), 5)).toBe(0);
  expect(await driver.control(hex('77000000 0100400000000000 ffffffff'), 5)).toBe(9);
  // The commands come back, each with its data or ended, before the reset does.
  const pending = Array.from({ length: 8 }, () =>
    driver.submit(hex(cdb(0x28, 0, 0, 128)), { room: 128 * BLOCK }),
  );
  expect(await driver.manage(reset)).toBe(0);
  expect(await driver.take(REQUEST, pending.length)).toHaveLength(pending.length);
  for (const { response } of pending) expect([0, 4]).toContain(response()[11]);
  expect(await driver.command('03 00 00 00 12 00', { room: 18 })).toMatchObject({ status: 0 });
  expect(await driver.manage(reset)).toBe(0);
  expect(await driver.command(TEST_UNIT_READY)).toMatchObject({ sense: '6/29/3' });
  expect(await driver.command(TEST_UNIT_READY)).toMatchObject({ status: 0 });
});

test('a request that is none stops the device, which a reset revives', async () => {
  await using machine = await start({ bytes: randomBytes(8 * BLOCK) });
  const { driver } = machine;
  driver.add(REQUEST, [new Uint8Array(18)], 108, 0);
  while (machine.broken.length === 0) await new Promise(setImmediate);
  expect(machine.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
  await driver.driver.reset();
  driver.start();
  expect(await driver.command(TEST_UNIT_READY)).toMatchObject({ sense: '6/29/0' });
});

test('any CDB is answered', async () => {
  await using machine = await start({ bytes: randomBytes(8 * BLOCK) });
  const { driver } = machine;
  const opcodes = [
    0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42,
  ];
  const others = [0x55, 0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xaf];
  const anyCdb = fc
    .tuple(
      fc.oneof(fc.constantFrom(...opcodes, ...others), fc.integer({ min: 0, max: 255 })),
      fc.array(fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 255 })), {
        minLength: 31,
        maxLength: 31,
      }),
    )
    .map(([opcode, rest]) => Buffer.from([opcode, ...rest]).toString('hex'));
  const data = fc.uint8Array({ maxLength: 64 });
  await fc.assert(
    fc.asyncProperty(anyCdb, data, fc.integer({ min: 0, max: 600 }), async (text, out, room) => {
      const result = await driver.command(text, { ...(out.length > 0 && { out }), room });
      expect([0, 1]).toContain(result.response);
      expect([0, 2]).toContain(result.status);
      expect(result.status === 2).toBe(result.sense !== undefined);
      expect(result.residual).toBeLessThanOrEqual(out.length + room);
    }),
    { numRuns: 300 },
  );
  expect(machine.broken).toEqual([]);
});
