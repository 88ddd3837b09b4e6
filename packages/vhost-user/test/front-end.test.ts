import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnixSocket } from '@tsvmm/base';
import {
  type BackendContext,
  blockModel,
  RngBackend,
  rngModel,
  type VirtioBackend,
  type Virtqueue,
} from '@tsvmm/devices';
import { describe, expect, test } from 'vitest';
import {
  describeVhostUserDevice,
  VhostUserDevice,
  VhostUserFrontend,
  VhostUserServer,
} from '../src/index.ts';
import { DriverMemory, DriverQueue, FEATURES, ObservedDevice } from './support/driver.ts';

/** What both ends of a connection in this process need. */
function rngDevice(errors: unknown[]) {
  return {
    name: 'virtio-rng',
    model: rngModel(),
    backend: new RngBackend(),
    onBroken: (error: unknown) => errors.push(error),
    onEnd: (error: unknown) => error && errors.push(error),
  };
}

/** A back end that ends requests when it is told to. */
class PatientBackend implements VirtioBackend {
  readonly heads: number[] = [];
  #queue: Virtqueue | undefined;
  #context: BackendContext | undefined;
  #heard: (() => void) | undefined;

  activate(context: BackendContext): void {
    this.#context = context;
  }

  handle(queue: Virtqueue): boolean {
    this.#queue = queue;
    this.heads.push(queue.head);
    this.#heard?.();
    return true;
  }

  /** Resolves when `count` requests have been taken. */
  async taken(count: number): Promise<readonly number[]> {
    while (this.heads.length < count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#heard = resolve;
      await promise;
    }
    return this.heads;
  }

  end(head: number): void {
    if (!this.#queue) throw new Error('nothing has been taken');
    this.#queue.push(head, 1);
    this.#context?.announce(this.#queue);
  }

  changeConfig(first: number): void {
    this.#context?.changeConfig((config) => config.setUint8(0, first));
  }

  reset(): undefined {}

  drain(): undefined {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A device with eight bytes of configuration around a back end. */
function patientDevice(backend: PatientBackend, errors: unknown[]) {
  const model = { ...rngModel(), config: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7) };
  return { ...rngDevice(errors), model, backend };
}

describe('a back end and a front end of ours', () => {
  test('serve a driver, also after it has reset the device', async () => {
    const errors: unknown[] = [];
    const [ours, theirs] = UnixSocket.pair();
    using _ours = ours;
    using _backend = new VhostUserDevice(theirs, rngDevice(errors));
    using driver = new DriverMemory();
    const device = new ObservedDevice();
    await using frontend = await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: ours.descriptor.number, path: undefined, configLength: 0 },
      device,
      driver.memory,
    );
    const address = driver.allocate(4096);
    for (const length of [16, 4096]) {
      using queue = new DriverQueue(driver, 0);
      // What is asked for before the device runs is not lost.
      queue.add(3, [{ address, length, write: true }]);
      await frontend.activate(FEATURES, [queue.queue]);
      expect(await queue.used(1)).toEqual([{ head: 3, length }]);
      queue.add(5, [{ address, length, write: true }]);
      expect(await queue.used(1)).toEqual([{ head: 5, length }]);
      expect(driver.memory.bytes(address, length).some((byte) => byte !== 0)).toBe(true);
      await frontend.stopQueue(0);
      using again = new DriverQueue(driver, 0);
      await frontend.startQueue(again.queue);
      again.add(0, [{ address, length, write: true }]);
      expect(await again.used(1)).toEqual([{ head: 0, length }]);
      await frontend.reset();
    }
    expect([...errors, ...device.failures]).toEqual([]);
  });

  test('find each other again when the back end comes back', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-front-end-'));
    const path = join(folder.path, 'rng.sock');
    const errors: unknown[] = [];
    let server = VhostUserServer.listen(path, rngDevice(errors));
    const { socket, ...description } = await describeVhostUserDevice({ type: 'rng', socket: path });
    using _socket = socket;
    expect(description).toMatchObject({
      path,
      pciClass: { baseClass: 8, subclass: 0x80 },
      model: { deviceId: 4, features: [], queueSizes: [256] },
    });
    using driver = new DriverMemory();
    const device = new ObservedDevice();
    await using frontend = await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: socket.number, path, configLength: 0 },
      device,
      driver.memory,
    );
    using queue = new DriverQueue(driver, 0);
    const address = driver.allocate(4096);
    await frontend.activate(FEATURES, [queue.queue]);
    for (const head of [1, 2, 3]) {
      queue.add(head, [{ address, length: 8, write: true }]);
      expect(await queue.used(1)).toEqual([{ head, length: 8 }]);
      server[Symbol.dispose]();
      await device.until(() => device.logs.length === 2 * head - 1);
      // It asks while there is nobody.
      queue.add(head + 4, [{ address, length: 8, write: true }]);
      server = VhostUserServer.listen(path, rngDevice(errors));
      expect(await queue.used(1)).toEqual([{ head: head + 4, length: 8 }]);
      await device.until(() => device.logs.length === 2 * head);
    }
    server[Symbol.dispose]();
    expect([...errors, ...device.failures]).toEqual([]);
  });

  test('lose no request and do none twice when the back end dies with some in flight', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-front-end-'));
    const path = join(folder.path, 'patient.sock');
    const errors: unknown[] = [];
    const first = new PatientBackend();
    let server = VhostUserServer.listen(path, patientDevice(first, errors));
    using socket = UnixSocket.connect(path);
    using driver = new DriverMemory();
    const device = new ObservedDevice(1, Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    await using frontend = await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: socket.descriptor.number, path, configLength: 8 },
      device,
      driver.memory,
    );
    using queue = new DriverQueue(driver, 0);
    const buffer = { address: driver.allocate(4096), length: 8, write: true };
    await frontend.activate(FEATURES, [queue.queue]);
    for (const head of [4, 2, 6, 0]) queue.add(head, [buffer]);
    await first.taken(4);
    for (const head of [6, 2]) first.end(head);
    expect(await queue.used(2)).toEqual([
      { head: 6, length: 1 },
      { head: 2, length: 1 },
    ]);
    server[Symbol.dispose]();
    await device.until(() => device.logs.length === 1);
    queue.add(7, [buffer]);
    const second = new PatientBackend();
    server = VhostUserServer.listen(path, patientDevice(second, errors));
    expect(await second.taken(3)).toEqual([4, 0, 7]);
    for (const head of [7, 0, 4]) second.end(head);
    const ended = await queue.used(3);
    expect(ended.map(({ head }) => head)).toEqual([7, 0, 4]);
    await frontend.reset();
    expect([...errors, ...device.failures]).toEqual([]);
    server[Symbol.dispose]();
  });

  test('pass changes of the configuration on', async () => {
    const errors: unknown[] = [];
    const backend = new PatientBackend();
    const [ours, theirs] = UnixSocket.pair();
    using _ours = ours;
    using _backend = new VhostUserDevice(theirs, patientDevice(backend, errors));
    using driver = new DriverMemory();
    const device = new ObservedDevice(1, Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    await using frontend = await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: ours.descriptor.number, path: undefined, configLength: 8 },
      device,
      driver.memory,
    );
    using queue = new DriverQueue(driver, 0);
    await frontend.activate(FEATURES, [queue.queue]);
    backend.changeConfig(99);
    expect(await device.configChange()).toEqual(Uint8Array.of(99, 1, 2, 3, 4, 5, 6, 7));
    expect([...errors, ...device.failures]).toEqual([]);
  });
});

test('a disk is shown as its back end describes it, with what of its configuration the driver may write', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-front-end-'));
  const path = join(folder.path, 'disk.sock');
  const errors: unknown[] = [];
  const model = blockModel({ size: 2 ** 20, queueCount: 3 });
  // VIRTIO_BLK_F_CONFIG_WCE
  using _server = VhostUserServer.listen(path, {
    ...rngDevice(errors),
    model: { ...model, features: [...model.features, 11] },
  });
  const { socket, ...description } = await describeVhostUserDevice({
    type: 'block',
    socket: path,
    maxQueueSize: 64,
  });
  socket[Symbol.dispose]();
  expect(description.model).toMatchObject({
    deviceId: 2,
    queueSizes: [64, 64, 64],
    writableConfig: { start: 32, end: 33 },
  });
  expect(description.model.features.toSorted((a, b) => a - b)).toEqual(
    [...model.features, 11].toSorted((a, b) => a - b),
  );
  // As long as the front end's structure, which ends later than what is in it.
  expect(description.model.config.subarray(0, model.config.length)).toEqual(model.config);
  expect(errors).toEqual([]);
});
