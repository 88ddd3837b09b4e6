import { expect, test } from 'vitest';
import {
  ByteRing,
  type InputDescription,
  inputEvents,
  inputModel,
  SerialInput,
  touchEvents,
  VirtioPciDevice,
} from '../src/index.ts';
import { EVENT_IDX, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';

const EVENT = 0;
const STATUS = 1;
const KEYBOARD: InputDescription = { name: 'Keys', serial: 'keys-0', ...inputEvents('keyboard') };

/** struct virtio_input_event. */
function event(type: number, code: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt16LE(code, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}

async function startInput(description = KEYBOARD, capacity = 1024) {
  const [events, status] = [ByteRing.create(capacity), ByteRing.create(capacity)];
  const machine = await startMachine([VirtioPciDevice.input(description, events, status)]);
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  driver.enableMsix();
  const start = () => {
    expect(driver.negotiate([VERSION_1, EVENT_IDX])).toBe(true);
    for (const queue of [EVENT, STATUS]) driver.setUpQueue(queue, 16, 8 + queue);
    driver.status = 15;
  };
  start();
  return {
    ...machine,
    driver,
    events,
    status,
    start,
    /** What the configuration shows when this is selected. */
    select(select: number, subselect: number): Buffer {
      guest.write(driver.deviceConfig, 1, select);
      guest.write(driver.deviceConfig + 1, 1, subselect);
      const size = guest.read(driver.deviceConfig + 2, 1);
      return Buffer.from(Array.from({ length: size }, (_, i) => guest.read(driver.deviceConfig + 8 + i, 1)));
    },
    /** Makes bytes, or room for as many, available. */
    add(index: number, bytes: Uint8Array | number): number {
      const queue = driver.queues[index];
      if (!queue) throw new Error('no queue');
      const length = typeof bytes === 'number' ? bytes : bytes.length;
      const address = guest.allocate(length);
      if (typeof bytes !== 'number') guest.bytes(address, length).set(bytes);
      const before = queue.place;
      queue.add([{ address, length, write: typeof bytes === 'number' }]);
      if (queue.needsKick(before)) driver.kick(index);
      return address;
    },
    async used(index: number): Promise<number> {
      for (;;) {
        const seen = guest.interrupts.message(8 + index);
        const used = driver.queues[index]?.take();
        if (used) return used.length;
        await guest.interrupts.nextMessage(8 + index, seen);
      }
    },
    async isBroken(): Promise<void> {
      while (machine.broken.length === 0) await new Promise(setImmediate);
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

test('shows what the driver selects', async () => {
  await using input = await startInput();
  expect(input.guest.config(1, 0)).toBe(0x1052_1af4);
  expect(input.guest.config(1, 8) >>> 16).toBe(0x0980);
  expect(input.select(1, 0).toString()).toBe('Keys');
  expect(input.select(2, 0).toString()).toBe('keys-0');
  expect(input.select(3, 0)).toEqual(Buffer.alloc(8));
  expect(input.select(0x10, 0)).toHaveLength(0);
  // EV_KEY, EV_LED and EV_REP.
  expect(input.select(0x11, 0)).toEqual(Buffer.from([0x02, 0, 0x12]));
  expect(input.select(0x11, 0x11)).toEqual(Buffer.from([0x07]));
  const keys = input.select(0x11, 1);
  // The last key is KEY_PRINT, 210.
  expect(keys).toHaveLength(27);
  expect([...keys.subarray(0, 11)]).toEqual([0xfe, ...new Array(9).fill(0xff), 0x8f]);
  for (const [select, subselect] of [
    [0, 0],
    [0x11, 3],
    [0x12, 0],
    [1, 1],
    [0xff, 0xff],
  ] as const) {
    expect(input.select(select, subselect)).toHaveLength(0);
    expect(input.guest.read(input.driver.deviceConfig + 8, 8)).toBe(0);
  }
  // Both bytes at once, and what is not for the driver to write.
  input.guest.write(input.driver.deviceConfig, 2, 0x0001);
  expect(input.guest.read(input.driver.deviceConfig + 2, 1)).toBe(4);
  input.guest.write(input.driver.deviceConfig + 2, 1, 99);
  input.guest.write(input.driver.deviceConfig, 4, 0x63_0002);
  expect(input.guest.read(input.driver.deviceConfig, 4)).toBe(0x04_0001);
});

test('a touch screen has axes as large as it is', async () => {
  const has = touchEvents('multi-touch', { width: 800, height: 600 });
  await using input = await startInput({ name: 'Screen', serial: 's', ...has });
  expect(input.select(0x10, 0)).toEqual(Buffer.from([0x02]));
  const axis = (code: number) => [0, 4, 8, 12, 16].map((at) => input.select(0x12, code).readUInt32LE(at));
  expect(axis(0x00)).toEqual([0, 800, 0, 0, 0]);
  expect(axis(0x36)).toEqual([0, 600, 0, 0, 0]);
  expect(axis(0x2f)).toEqual([0, 10, 0, 0, 0]);
});

test('events reach the guest whole, however the stream is cut', async () => {
  await using input = await startInput(KEYBOARD, 16);
  const sent = Array.from({ length: 100 }, (_, i) => event(1, i + 1, i % 2));
  const stream = Buffer.concat(sent);
  const source = new SerialInput(input.events, () => {});
  const finished = (async () => {
    for (let at = 0; at < stream.length; ) {
      const length = 1 + (at % 13);
      await source.write(stream.subarray(at, at + length));
      at += length;
    }
  })();
  const received: Buffer[] = [];
  while (received.length < sent.length) {
    // Room for one event and a half.
    const address = input.add(EVENT, 12);
    expect(await input.used(EVENT)).toBe(8);
    received.push(Buffer.from(input.guest.bytes(address, 8)));
  }
  await finished;
  expect(Buffer.concat(received).equals(stream)).toBe(true);
  expect(input.broken).toEqual([]);
});

test("the guest's events reach the host, but for what is nobody's business, and wait for room", async () => {
  await using input = await startInput(KEYBOARD, 16);
  const led = (number: number) => event(0x11, number, 1);
  input.add(STATUS, Buffer.concat([led(0), event(4, 5, 123), led(1), led(2)]));
  const received: Buffer[] = [];
  while (Buffer.concat(received).length < 24) {
    await input.status.dataAvailable();
    const bytes = Buffer.from(input.status.peek());
    received.push(bytes);
    input.status.consume(bytes.length);
  }
  expect(await input.used(STATUS)).toBe(0);
  expect(Buffer.concat(received).equals(Buffer.concat([led(0), led(1), led(2)]))).toBe(true);
});

test.each([
  ['without room for an event', EVENT, 7],
  ['with part of an event', STATUS, Buffer.alloc(9)],
  ['with more events than a request may have', STATUS, Buffer.alloc(65 * 8)],
])('a request %s stops the device, which a reset revives', async (_what, index, bytes) => {
  await using input = await startInput();
  input.add(index, bytes);
  await input.isBroken();
  expect(input.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
  await input.driver.reset();
  input.start();
  input.events.write(event(1, 30, 1));
  const address = input.add(EVENT, 8);
  expect(await input.used(EVENT)).toBe(8);
  expect(Buffer.from(input.guest.bytes(address, 8)).equals(event(1, 30, 1))).toBe(true);
});

test('names and codes that do not fit are refused', () => {
  const refuses = (description: Partial<InputDescription>) =>
    expect(() => inputModel({ ...KEYBOARD, ...description })).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  refuses({ name: 'x'.repeat(129) });
  refuses({ serial: 'ü'.repeat(65) });
  refuses({ events: [[1, [1024]]] });
});
