import { readFile, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { pipe, UnixSocket } from '@tsvmm/base';
import {
  BalloonBackend,
  ByteRing,
  balloonModel,
  ConsoleBackend,
  consoleModel,
  InputBackend,
  inputEvents,
  inputModel,
  MultiportConsoleBackend,
  multiportConsoleModel,
  type VirtioBackend,
  type VirtioDeviceModel,
} from '@tsvmm/devices';
import { afterEach, describe, expect, test } from 'vitest';
import { VhostUserDevice, VhostUserFrontend } from '../src/index.ts';
import { BackEnd, message, REPLY, u32s, u64, VERSION } from './support/back-end.ts';
import { DriverMemory, DriverQueue, FEATURES, ObservedDevice } from './support/driver.ts';

// "Migrating back-end state" in QEMU's docs/interop/vhost-user.rst.
const SET_DEVICE_STATE_FD = 42;
const CHECK_DEVICE_STATE = 43;
const SAVE = 0;
const LOAD = 1;
const STOPPED = 0;
const NO_DESCRIPTOR = 0x100n;

/** Off this thread, which has the back end too. */
const readToEnd = promisify(readFile);

const rings: ByteRing[] = [];
afterEach(async () => {
  for (const ring of rings.splice(0)) ring.close();
});

function ring(capacity = 16): ByteRing {
  const made = ByteRing.create(capacity);
  rings.push(made);
  return made;
}

/** A back end on this thread, and the socket to it. */
function serve(model: VirtioDeviceModel, backend: VirtioBackend) {
  const [ours, theirs] = UnixSocket.pair();
  const errors: unknown[] = [];
  const device = new VhostUserDevice(theirs, {
    name: 'virtio-test',
    model,
    backend,
    onBroken: (error) => errors.push(error),
    onEnd: (error) => error && errors.push(error),
  });
  return {
    socket: ours,
    errors,
    [Symbol.dispose]: () => {
      device[Symbol.dispose]();
      ours[Symbol.dispose]();
    },
  };
}

/** A front end on it. */
async function open(served: ReturnType<typeof serve>, model: VirtioDeviceModel, driver: DriverMemory) {
  return await VhostUserFrontend.open(
    {
      kind: 'vhost-user',
      socket: served.socket.descriptor.number,
      path: undefined,
      configLength: model.config.length,
    },
    new ObservedDevice(model.queueSizes.length, new Uint8Array(model.config)),
    driver.memory,
  );
}

describe('a back end, by its messages,', () => {
  async function check(socket: UnixSocket): Promise<bigint> {
    socket.sendMessage(message(CHECK_DEVICE_STATE, new Uint8Array(0), VERSION));
    return await answer(socket, CHECK_DEVICE_STATE);
  }

  async function answer(socket: UnixSocket, request: number): Promise<bigint> {
    const buffer = new Uint8Array(20);
    while (!socket.tryReceiveMessage(buffer)) await new Promise(setImmediate);
    const view = new DataView(buffer.buffer);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([request, VERSION | REPLY]);
    return view.getBigUint64(12, true);
  }

  async function transfer(socket: UnixSocket, direction: number, state?: Uint8Array): Promise<Buffer> {
    const { reader, writer } = pipe();
    using _reader = reader;
    using _writer = writer;
    const theirs = direction === SAVE ? writer : reader;
    socket.sendMessage(message(SET_DEVICE_STATE_FD, u32s(direction, STOPPED), VERSION), [theirs]);
    expect(await answer(socket, SET_DEVICE_STATE_FD)).toBe(NO_DESCRIPTOR);
    theirs[Symbol.dispose]();
    if (state) writeSync(writer.number, state);
    writer[Symbol.dispose]();
    return direction === SAVE ? await readToEnd(reader.number) : Buffer.alloc(0);
  }

  test('gives its state by the pipe that it gets, and takes it again', async () => {
    const model = consoleModel({});
    using first = serve(model, new ConsoleBackend(ring()));
    const state = await transfer(first.socket, SAVE);
    expect(state.length).toBeGreaterThan(0);
    expect(await check(first.socket)).toBe(0n);
    using second = serve(model, new ConsoleBackend(ring()));
    await transfer(second.socket, LOAD, state);
    expect(await check(second.socket)).toBe(0n);
  });

  test.each([
    ['nothing', new Uint8Array(0)],
    ['what is no state', new Uint8Array(100).fill(7)],
  ])('says afterwards that %s is none', async (_, state) => {
    using served = serve(consoleModel({}), new ConsoleBackend(ring()));
    await transfer(served.socket, LOAD, state);
    expect(await check(served.socket)).toBe(1n);
  });
});

describe('a device that goes on in another back end', () => {
  test('has sent its output once, and all of it', async () => {
    const model = consoleModel({});
    using driver = new DriverMemory();
    const queues = [new DriverQueue(driver, 0), new DriverQueue(driver, 1)] as const;
    using _receive = queues[0];
    using _transmit = queues[1];
    const text = Buffer.from(Array.from({ length: 100 }, (_, index) => 32 + (index % 90)));
    const address = driver.allocate(text.length);
    driver.memory.bytes(address, text.length).set(text);
    const sent: Buffer[] = [];
    const take = (output: ByteRing) => {
      sent.push(Buffer.from(output.peek()));
      output.consume(output.peek().length);
    };

    const before = ring();
    using first = serve(model, new ConsoleBackend(before));
    await using source = await open(first, model, driver);
    await source.activate(
      FEATURES,
      queues.map(({ queue }) => queue),
    );
    queues[1].add(0, [{ address, length: text.length }]);
    // The ring is full: the request is half done.
    while (before.room > 0) await new Promise(setImmediate);
    const { state, nextAvailable } = await source.suspend();
    take(before);
    expect(queues[1].take()).toEqual([]);

    const after = ring(256);
    using second = serve(model, new ConsoleBackend(after));
    await using destination = await open(second, model, driver);
    await destination.restore(state);
    await destination.activate(
      FEATURES,
      queues.map(({ queue }) => ({ ...queue, nextAvailable: nextAvailable.get(queue.index) ?? -1 })),
    );
    expect(await queues[1].used(1)).toEqual([{ head: 0, length: 0 }]);
    take(after);
    expect(Buffer.concat(sent).equals(text)).toBe(true);
    expect([...first.errors, ...second.errors]).toEqual([]);
  });

  const keyboard = { name: 'keyboard', serial: '0', ...inputEvents('keyboard') };
  const port = { name: 'port', console: true };
  const kinds: readonly [string, VirtioDeviceModel, () => VirtioBackend][] = [
    ['a console', consoleModel({}), () => new ConsoleBackend(ring())],
    [
      'a console with ports',
      multiportConsoleModel([port]),
      () => new MultiportConsoleBackend([{ ...port, output: ring(), input: undefined }]),
    ],
    ['a balloon', balloonModel(), () => new BalloonBackend()],
    ['an input device', inputModel(keyboard), () => new InputBackend(ring(), ring())],
  ];

  test.each(kinds)('%s is what it was, and no other device can be that', async (_name, model, make) => {
    using driver = new DriverMemory();
    using served = serve(model, make());
    await using source = await open(served, model, driver);
    const { state } = await source.suspend();
    for (const [, otherModel, makeOther] of kinds) {
      using other = serve(otherModel, makeOther());
      await using destination = await open(other, otherModel, driver);
      if (otherModel === model) {
        await destination.restore(state);
        expect(Buffer.compare((await destination.suspend()).state, state)).toBe(0);
      } else {
        await expect(destination.restore(state)).rejects.toMatchObject({ code: 'REFUSED' });
      }
    }
  });

  test('has to be stopped', async () => {
    const model = consoleModel({});
    using driver = new DriverMemory();
    using queue = new DriverQueue(driver, 0);
    using served = serve(model, new ConsoleBackend(ring()));
    await using frontend = await open(served, model, driver);
    const { state } = await frontend.suspend();
    await frontend.activate(FEATURES, [queue.queue]);
    await expect(frontend.restore(state)).rejects.toMatchObject({ code: 'REFUSED' });
  });
});

describe('a back end is not taken at its word that', () => {
  test('does not offer to hand its state over', async () => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd();
    await using frontend = await backEnd.open(driver);
    await expect(frontend.suspend()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test.each<[string, bigint, string]>([
    ['has an error', NO_DESCRIPTOR | 5n, 'no state to transfer'],
    ['wants to use a file of its own', 0n, 'a file of its own'],
  ])('%s', async (_, answer, problem) => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd((request) => {
      if (request === 15) return message(15, u64((1n << 3n) | (1n << 9n) | (1n << 19n)));
      return request === SET_DEVICE_STATE_FD ? message(request, u64(answer)) : undefined;
    });
    await using frontend = await backEnd.open(driver);
    await expect(frontend.suspend()).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining(problem),
    });
  });
});
