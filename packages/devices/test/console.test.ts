import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { ByteRing, SerialInput, SerialOutput, type SerialSink, VirtioPciDevice } from '../src/index.ts';
import { EVENT_IDX, VERSION_1, VirtioDriver } from './support/guest.ts';
import { startMachine } from './support/machine.ts';

const RECEIVE = 0;
const TRANSMIT = 1;

class CollectingSink implements SerialSink {
  readonly name = 'test';
  readonly chunks: Buffer[] = [];
  async write(bytes: Uint8Array): Promise<void> {
    this.chunks.push(Buffer.from(bytes));
    await new Promise(setImmediate);
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

async function startConsole(capacity = 1024, inputAfterOutput = false) {
  const output = ByteRing.create(capacity);
  const input = ByteRing.create(capacity);
  const machine = await startMachine([
    VirtioPciDevice.console(output, input, { size: { columns: 132, rows: 43 }, inputAfterOutput }),
  ]);
  const driver = new VirtioDriver(machine.guest, 1);
  driver.enableMsix();
  expect(driver.negotiate([0, VERSION_1, EVENT_IDX])).toBe(true);
  const queues = [RECEIVE, TRANSMIT].map((queue) => driver.setUpQueue(queue, 16, 8 + queue));
  driver.status = 15;
  return { ...machine, driver, queues, output, input };
}

test('the size of the terminal is in the configuration', async () => {
  await using machine = await startConsole();
  const config = machine.driver.deviceConfig;
  expect([machine.guest.read(config, 2), machine.guest.read(config + 2, 2)]).toEqual([132, 43]);
});

test('another size of the terminal is told, also to a driver that comes later', async () => {
  await using machine = await startConsole();
  const { guest, driver, worker } = machine;
  const size = () => [guest.read(driver.deviceConfig, 2), guest.read(driver.deviceConfig + 2, 2)];
  driver.setVector(0, 7);
  guest.write(driver.common + 0x10, 2, 0);
  const seen = guest.interrupts.message(7);
  await worker.command(0, { kind: 'resize-console', size: { columns: 80, rows: 24 } });
  await guest.interrupts.nextMessage(7, seen);
  expect(size()).toEqual([80, 24]);
  await driver.reset();
  await worker.command(0, { kind: 'resize-console', size: { columns: 90, rows: 25 } });
  expect(driver.negotiate([0, VERSION_1, EVENT_IDX])).toBe(true);
  guest.write(driver.common + 0x10, 2, 0);
  const again = guest.interrupts.message(7);
  driver.status = 15;
  await guest.interrupts.nextMessage(7, again);
  expect(size()).toEqual([90, 25]);
  await expect(worker.command(0, { kind: 'balloon-stats' })).rejects.toThrow('has no balloon-stats');
});

test('output that is larger than the ring arrives whole, and the driver gets its buffers back', async () => {
  const sink = new CollectingSink();
  const sent = randomBytes(300_000);
  const machine = await startConsole();
  {
    await using _drain = new SerialOutput(machine.output, sink);
    await using running = machine;
    const { guest, driver, queues } = running;
    const queue = queues[TRANSMIT];
    if (!queue) throw new Error('no queue');
    for (let offset = 0; offset < sent.length; offset += 10_000) {
      // Three buffers of odd lengths a request.
      const pieces = [0, 1, 4097, 10_000].map((cut) => Math.min(offset + cut, sent.length));
      const buffers = pieces.slice(1).flatMap((end, i) => {
        const bytes = sent.subarray(pieces[i], end);
        const address = guest.allocate(bytes.length);
        guest.bytes(address, bytes.length).set(bytes);
        return { address, length: bytes.length };
      });
      const seen = guest.interrupts.message(8 + TRANSMIT);
      const before = queue.place;
      const head = queue.add(buffers);
      if (queue.needsKick(before)) driver.kick(TRANSMIT);
      let used = queue.take();
      while (!used) {
        await guest.interrupts.nextMessage(8 + TRANSMIT, seen);
        used = queue.take();
      }
      expect(used).toEqual({ id: head, length: 0 });
    }
    expect(running.broken).toEqual([]);
  }
  expect(Buffer.concat(sink.chunks).equals(sent)).toBe(true);
});

test('input waits for the first output where it is asked to', async () => {
  await using machine = await startConsole(1024, true);
  const { guest, driver, queues, input } = machine;
  const [receive, transmit] = queues;
  if (receive === undefined || transmit === undefined) throw new Error('no queue');
  input.write(Buffer.from('early'));
  const address = guest.allocate(64);
  const seen = guest.interrupts.message(8 + RECEIVE);
  receive.add([{ address, length: 64, write: true }]);
  driver.kick(RECEIVE);
  transmit.add([{ address: guest.allocate(1), length: 1 }]);
  const beforeOutput = receive.take();
  driver.kick(TRANSMIT);
  await guest.interrupts.nextMessage(8 + RECEIVE, seen);
  expect(beforeOutput).toBeUndefined();
  expect(receive.take()).toMatchObject({ length: 5 });
  expect(Buffer.from(guest.bytes(address, 5)).toString()).toBe('early');
});

test('a megabyte of input arrives whole through the few buffers that the driver has', async () => {
  await using machine = await startConsole(4096);
  const { guest, driver, queues, input } = machine;
  const queue = queues[RECEIVE];
  if (!queue) throw new Error('no queue');
  const sent = randomBytes(1 << 20);
  const source = new SerialInput(input, () => {});
  const finished = source.write(sent);
  const length = 1000;
  const buffers = new Map<number, number>();
  const offer = (address: number) => {
    const before = queue.place;
    buffers.set(queue.add([{ address, length, write: true }]), address);
    if (queue.needsKick(before)) driver.kick(RECEIVE);
  };
  for (let i = 0; i < 8; i++) offer(guest.allocate(length));
  const received: Buffer[] = [];
  let total = 0;
  while (total < sent.length) {
    const seen = guest.interrupts.message(8 + RECEIVE);
    const used = queue.take();
    if (!used) {
      await guest.interrupts.nextMessage(8 + RECEIVE, seen);
      continue;
    }
    const address = buffers.get(used.id) ?? 0;
    received.push(Buffer.from(guest.bytes(address, used.length)));
    total += used.length;
    offer(address);
  }
  await finished;
  expect(Buffer.concat(received).equals(sent)).toBe(true);
});

test('a reset while output waits for room leaves nothing behind', async () => {
  await using machine = await startConsole(16);
  const { guest, driver, queues, output } = machine;
  queues[TRANSMIT]?.add([{ address: guest.allocate(100), length: 100 }]);
  driver.kick(TRANSMIT);
  await output.dataAvailable();
  await driver.reset();
  output.consume(output.available);
  expect(driver.negotiate([VERSION_1, EVENT_IDX])).toBe(true);
  const queue = driver.setUpQueue(TRANSMIT, 16, 9);
  driver.status = 15;
  const address = guest.allocate(5);
  guest.bytes(address, 5).set(Buffer.from('after'));
  queue.add([{ address, length: 5 }]);
  driver.kick(TRANSMIT);
  await output.dataAvailable();
  expect(Buffer.from(output.peek()).toString()).toBe('after');
  expect(machine.broken).toEqual([]);
});
