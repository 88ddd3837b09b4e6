import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, multiportConsoleModel, VirtioPciDevice } from '../src/index.ts';
import { EVENT_IDX, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';

const MULTIPORT = 1;
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const DEVICE_READY = 0;
const PORT_ADD = 1;
const PORT_READY = 3;
const CONSOLE_PORT = 4;
const PORT_OPEN = 6;
const PORT_NAME = 7;

/** Three ports, the second of which is a terminal; a driver with its messages from 8 on. */
async function startPorts() {
  const ports = ['one', 'two', 'grüße'].map((name, index) => {
    return { name, console: index === 1, output: ByteRing.create(1024), input: ByteRing.create(1024) };
  });
  const machine = await startMachine([VirtioPciDevice.multiportConsole(ports)]);
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  driver.enableMsix();
  expect(driver.negotiate([MULTIPORT, VERSION_1, EVENT_IDX])).toBe(true);
  for (let queue = 0; queue < 8; queue++) driver.setUpQueue(queue, 16, 8 + queue);
  driver.status = 15;
  const queueAt = (index: number) => {
    const queue = driver.queues[index];
    if (!queue) throw new Error('no queue');
    return queue;
  };
  return {
    ...machine,
    driver,
    ports,
    /** Makes bytes, or room for as many, available. */
    add(index: number, bytes: Uint8Array | number): number {
      const queue = queueAt(index);
      const length = typeof bytes === 'number' ? bytes : bytes.length;
      const address = guest.allocate(length);
      if (typeof bytes !== 'number') guest.bytes(address, length).set(bytes);
      const before = queue.place;
      queue.add([{ address, length, write: typeof bytes === 'number' }]);
      if (queue.needsKick(before)) driver.kick(index);
      return address;
    },
    /** Waits for the next request that the device gives back. @returns the bytes that it wrote */
    async used(index: number): Promise<number> {
      const queue = queueAt(index);
      for (;;) {
        const seen = guest.interrupts.message(8 + index);
        const used = queue.take();
        if (used) return used.length;
        await guest.interrupts.nextMessage(8 + index, seen);
      }
    },
    async control(id: number, event: number, value: number): Promise<void> {
      const message = new DataView(new ArrayBuffer(8));
      message.setUint32(0, id, true);
      message.setUint16(4, event, true);
      message.setUint16(6, value, true);
      this.add(CONTROL_TRANSMIT, new Uint8Array(message.buffer));
      expect(await this.used(CONTROL_TRANSMIT)).toBe(0);
    },
    /** The next control message: port, event, value and what follows. */
    async nextControl(): Promise<[id: number, event: number, value: number, rest: string]> {
      const address = this.add(CONTROL_RECEIVE, 64);
      const bytes = Buffer.from(guest.bytes(address, await this.used(CONTROL_RECEIVE)));
      return [bytes.readUInt32LE(0), bytes.readUInt16LE(4), bytes.readUInt16LE(6), bytes.toString('utf8', 8)];
    },
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

test('tells the driver of its ports, their names, and which one is a terminal', async () => {
  await using machine = await startPorts();
  expect(machine.guest.read(machine.driver.deviceConfig + 4, 4)).toBe(3);
  expect(machine.guest.read(machine.driver.common + 0x12, 2)).toBe(8);
  await machine.control(0xffff_ffff, DEVICE_READY, 1);
  for (const id of [0, 1, 2]) expect(await machine.nextControl()).toEqual([id, PORT_ADD, 1, '']);
  await machine.control(2, PORT_READY, 1);
  expect(await machine.nextControl()).toEqual([2, PORT_NAME, 1, 'grüße']);
  expect(await machine.nextControl()).toEqual([2, PORT_OPEN, 1, '']);
  await machine.control(1, PORT_READY, 1);
  expect(await machine.nextControl()).toEqual([1, CONSOLE_PORT, 1, '']);
  expect(await machine.nextControl()).toEqual([1, PORT_NAME, 1, 'two']);
  expect(await machine.nextControl()).toEqual([1, PORT_OPEN, 1, '']);
  expect(machine.broken).toEqual([]);
});

test('each port has its own output, and input that waits until somebody in the guest reads', async () => {
  await using machine = await startPorts();
  const { guest, ports } = machine;
  // Receive and transmit queues of the three ports.
  for (const [id, receive] of [0, 4, 6].entries()) {
    const port = ports[id];
    if (!port) throw new Error('no port');
    machine.add(receive + 1, Buffer.from(`from ${id}`));
    expect(await machine.used(receive + 1)).toBe(0);
    expect(Buffer.from(port.output.peek()).toString()).toBe(`from ${id}`);
    port.input.write(Buffer.from(`to ${id}`));
    const address = machine.add(receive, 64);
    // The device has seen the request when it has answered what came after it.
    await machine.control(id, PORT_OPEN, 0);
    expect(machine.driver.queues[receive]?.take()).toBeUndefined();
    await machine.control(id, PORT_OPEN, 1);
    expect(await machine.used(receive)).toBe(4);
    expect(Buffer.from(guest.bytes(address, 4)).toString()).toBe(`to ${id}`);
  }
  expect(machine.broken).toEqual([]);
});

test('a driver that asks again and again has no more messages kept for it than there are ports', async () => {
  await using machine = await startPorts();
  for (let i = 0; i < 100; i++) {
    await machine.control(0, DEVICE_READY, 1);
    await machine.control(0, PORT_READY, 1);
    await machine.control(0, PORT_READY, 0);
    await machine.control(0, DEVICE_READY, 0);
    await machine.control(0, 0xffff, 1);
  }
  const events = [];
  for (let i = 0; i < 5; i++) events.push((await machine.nextControl()).slice(0, 2));
  expect(events).toEqual([
    [0, PORT_ADD],
    [0, PORT_NAME],
    [0, PORT_OPEN],
    [1, PORT_ADD],
    [2, PORT_ADD],
  ]);
  machine.add(CONTROL_RECEIVE, 64);
  await machine.control(0, DEVICE_READY, 0);
  expect(machine.driver.queues[CONTROL_RECEIVE]?.take()).toBeUndefined();
});

test.each([
  ['about a port that is not there', 8, [3, 0, 0, 0, PORT_READY, 0, 1, 0]],
  ['that breaks off', 7, [0, 0, 0, 0, 0, 0, 0]],
])('a control message %s stops the device', async (_what, length, bytes) => {
  await using machine = await startPorts();
  machine.add(CONTROL_TRANSMIT, Uint8Array.from(bytes).subarray(0, length));
  while (machine.broken.length === 0) await new Promise(setImmediate);
  expect(machine.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
  expect(machine.driver.status & 0x40).toBe(0x40);
});

test('a driver without room for a message is stopped', async () => {
  await using machine = await startPorts();
  machine.add(CONTROL_RECEIVE, 7);
  await machine.control(0, DEVICE_READY, 1);
  while (machine.broken.length === 0) await new Promise(setImmediate);
  expect(machine.broken).toMatchObject([{ cause: 'driver', code: 'BAD_REQUEST' }]);
});

test('names that no port can have are refused', () => {
  const model = (...names: readonly string[]) =>
    multiportConsoleModel(names.map((name) => ({ name, console: false })));
  for (const names of [[], [''], ['a\0'], ['x'.repeat(256)], Array.from({ length: 32 }, (_, i) => `${i}`)]) {
    expect(() => model(...names)).toThrowError(expect.objectContaining({ code: 'BAD_OPTION' }));
  }
  expect(model('x'.repeat(255)).queueSizes).toHaveLength(4);
});

test('whatever the driver says on the control queue, the device goes on or says that it stopped', async () => {
  await using machine = await startPorts();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 24 }), { maxLength: 10 }),
      async (messages) => {
        await machine.driver.reset();
        machine.broken.length = 0;
        expect(machine.driver.negotiate([MULTIPORT, VERSION_1, EVENT_IDX])).toBe(true);
        for (let queue = 0; queue < 8; queue++) machine.driver.setUpQueue(queue, 16, 8 + queue);
        machine.driver.status = 15;
        for (const message of messages) {
          machine.add(CONTROL_TRANSMIT, message);
          while (machine.broken.length === 0 && !machine.driver.queues[CONTROL_TRANSMIT]?.take()) {
            await new Promise(setImmediate);
          }
          if (machine.broken.length > 0) break;
        }
      },
    ),
    { numRuns: 30 },
  );
});
