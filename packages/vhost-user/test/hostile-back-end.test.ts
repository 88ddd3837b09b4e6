import { EventFd, type FileDescriptor, MemFd, UnixSocket } from '@tsvmm/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VhostUserError, VhostUserFrontend } from '../src/index.ts';
import { DriverMemory, DriverQueue, FEATURES, ObservedDevice } from './support/driver.ts';

const Request = {
  GET_FEATURES: 1,
  GET_VRING_BASE: 11,
  GET_PROTOCOL_FEATURES: 15,
  GET_QUEUE_NUM: 17,
  SET_VRING_KICK: 12,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  GET_INFLIGHT_FD: 31,
} as const;

/** Bits of the protocol features that the back end here has: MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD. */
const PROTOCOL_FEATURES = (1n << 0n) | (1n << 3n) | (1n << 5n) | (1n << 9n) | (1n << 12n);
const VERSION = 1;
const REPLY = 4;
const NEED_REPLY = 8;

function message(request: number, payload: Uint8Array, flags = VERSION | REPLY, length = payload.length) {
  const header = Uint32Array.of(request, flags, length);
  return Buffer.concat([new Uint8Array(header.buffer), payload]);
}

const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
const u32s = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

/** What a back end answers; undefined: as it should. */
type Answer = (request: number, socket: UnixSocket) => Uint8Array | 'nothing' | undefined;

/** A back end without a device, that answers as it should except where it is told to do otherwise. */
class BackEnd implements Disposable {
  readonly socket: UnixSocket;
  readonly device = new ObservedDevice(1, new Uint8Array(8));
  readonly #theirs: UnixSocket;
  readonly #watcher;
  /** The channel on which it may ask something itself. */
  channel: UnixSocket | undefined;

  constructor(answer: Answer = () => undefined) {
    const [ours, theirs] = UnixSocket.pair();
    this.socket = ours;
    this.#theirs = theirs;
    this.#watcher = theirs.onReadable(() => {
      const header = new Uint8Array(12);
      const received = theirs.tryReceiveMessage(header, 8);
      if (!received?.length) {
        this.#watcher[Symbol.dispose]();
        return;
      }
      const [request = 0, flags = 0, length = 0] = new Uint32Array(header.buffer);
      const payload = new Uint8Array(length);
      if (length > 0) theirs.tryReceiveMessage(payload);
      this.#take(request, received.descriptors);
      const reply = answer(request, theirs) ?? usual(request, flags);
      try {
        if (reply !== 'nothing') theirs.sendMessage(reply);
      } catch {
        // The front end has ended the connection.
      }
    });
  }

  async open(driver: DriverMemory, timeLimit?: number): Promise<VhostUserFrontend> {
    return await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: this.socket.descriptor.number, path: undefined, configLength: 8 },
      this.device,
      driver.memory,
      timeLimit === undefined ? {} : { timeLimit },
    );
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    this.#theirs[Symbol.dispose]();
    this.socket[Symbol.dispose]();
    this.channel?.[Symbol.dispose]();
  }

  #take(request: number, descriptors: readonly FileDescriptor[]): void {
    for (const descriptor of descriptors) {
      if (request === Request.SET_BACKEND_REQ_FD) this.channel = new UnixSocket(descriptor);
      else descriptor[Symbol.dispose]();
    }
  }
}

function usual(request: number, flags: number): Uint8Array | 'nothing' {
  switch (request) {
    case Request.GET_FEATURES:
      return message(request, u64((1n << 30n) | (1n << 32n)));
    case Request.GET_PROTOCOL_FEATURES:
      return message(request, u64(PROTOCOL_FEATURES));
    case Request.GET_QUEUE_NUM:
      return message(request, u64(1n));
    case Request.GET_CONFIG:
      return message(request, u32s(0, 8, 0, 1, 2));
    case Request.GET_VRING_BASE:
      return message(request, u32s(0, 0));
    case Request.GET_INFLIGHT_FD:
      return message(request, new Uint8Array(24));
    default:
      return (flags & NEED_REPLY) === 0 ? 'nothing' : message(request, u64(0n));
  }
}

/** Answers one request otherwise than it should. */
function but(request: number, answer: (socket: UnixSocket) => Uint8Array | 'nothing'): Answer {
  return (asked, socket) => (asked === request ? answer(socket) : undefined);
}

/** Answers an inflight request with a file of 4096 bytes. */
function inflight(size: bigint, offset: bigint, count = 1): Answer {
  return but(Request.GET_INFLIGHT_FD, (socket) => {
    using file = MemFd.create({ name: 'record', size: 4096 });
    const payload = Buffer.concat([u64(size), u64(offset), u32s(0x100_0001, 0)]);
    socket.sendMessage(
      message(Request.GET_INFLIGHT_FD, payload),
      new Array<FileDescriptor>(count).fill(file.descriptor),
    );
    return 'nothing';
  });
}

describe('a back end cannot be used that', () => {
  test.each<[string, Answer, string, string]>([
    [
      'is older than virtio 1',
      but(1, () => message(1, u64(1n << 30n))),
      'UNSUPPORTED',
      'nothing older is supported',
    ],
    ['speaks another version', but(1, () => message(1, u64(0n), REPLY | 2)), 'PROTOCOL', 'version 2'],
    [
      'announces a reply without an end',
      but(1, () => message(1, u64(0n), 5, 2 ** 31)),
      'PROTOCOL',
      '2147483648',
    ],
    ['breaks off inside a reply', but(1, () => message(1, u32s(0))), 'PROTOCOL', 'ends too early'],
    ['answers something else', but(1, () => message(15, u64(0n))), 'PROTOCOL', 'sent GET_PROTOCOL_FEATURES'],
    ['sends no reply but a request', but(1, () => message(1, u64(0n), VERSION)), 'PROTOCOL', 'was expected'],
    ['has too few queues', but(17, () => message(17, u64(0n))), 'UNSUPPORTED', 'has 0 queues'],
    ['refuses its owner', but(3, () => message(3, u64(1n))), 'REFUSED', 'SET_OWNER'],
    [
      'does not answer',
      but(15, () => 'nothing'),
      'TIMEOUT',
      'has not answered GET_PROTOCOL_FEATURES in 50 ms',
    ],
    [
      'goes away',
      but(17, (socket) => {
        socket.shutdown('both');
        return 'nothing';
      }),
      'DISCONNECTED',
      'closed the connection',
    ],
    [
      'goes away inside a reply',
      but(17, (socket) => {
        socket.sendMessage(message(17, u64(1n)).subarray(0, 15));
        socket.shutdown('both');
        return 'nothing';
      }),
      'DISCONNECTED',
      'inside a message',
    ],
  ])('%s', async (_, answer, code, problem) => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd(answer);
    await expect(backEnd.open(driver, code === 'TIMEOUT' ? 50 : undefined)).rejects.toMatchObject({
      name: 'VhostUserError',
      code,
      message: expect.stringContaining(problem),
    });
    expect(backEnd.device.failures).toEqual([]);
  });

  test('offers less than the guest was told', async () => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd();
    Object.assign(backEnd.device, { features: { low: 1 << 5, high: 1 } });
    await expect(backEnd.open(driver)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('0x20 is missing'),
    });
  });
});

describe('a device fails, and nothing else, when its back end', () => {
  test.each<[string, Answer, string]>([
    ['ends its record of requests beyond its file', inflight(4096n, 4096n), 'PROTOCOL'],
    ['has a record that is too long for a number', inflight(2n ** 64n - 1n, 0n), 'PROTOCOL'],
    ['sends two files for one record', inflight(4096n, 0n, 2), 'PROTOCOL'],
    [
      'answers twice',
      but(12, (socket) => {
        socket.sendMessage(message(12, u64(0n)));
        return message(12, u64(0n));
      }),
      'PROTOCOL',
    ],
    ['stops answering', but(12, () => 'nothing'), 'TIMEOUT'],
    [
      'floods its front end',
      but(12, (socket) => {
        for (let i = 0; i < 100; i++) socket.trySendMessage(message(12, u64(0n)));
        return 'nothing';
      }),
      'PROTOCOL',
    ],
  ])('%s', async (_, answer, code) => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd(answer);
    await using frontend = await backEnd.open(driver, code === 'TIMEOUT' ? 50 : undefined);
    using queue = new DriverQueue(driver, 0);
    await frontend.activate(FEATURES, [queue.queue]);
    expect(await backEnd.device.failure()).toMatchObject({ name: 'VhostUserError', code });
    // A guest that resets it, or tries it again, does not wait for ever.
    await frontend.reset();
    await expect(frontend.activate(FEATURES, [queue.queue])).rejects.toMatchObject({ code: 'DISCONNECTED' });
    expect(backEnd.device.failures).toHaveLength(1);
  });

  test('stops another queue than it was told to', async () => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd(but(11, () => message(11, u32s(7, 0))));
    await using frontend = await backEnd.open(driver);
    using queue = new DriverQueue(driver, 0);
    await frontend.activate(FEATURES, [queue.queue]);
    await frontend.stopQueue(0);
    expect(await backEnd.device.failure()).toMatchObject({
      code: 'PROTOCOL',
      message: expect.stringContaining('queue 7 stopped instead of 0'),
    });
  });

  test('refuses a queue, which is told to who starts it', async () => {
    using driver = new DriverMemory();
    using backEnd = new BackEnd(but(8, () => message(8, u64(1n))));
    await using frontend = await backEnd.open(driver);
    using queue = new DriverQueue(driver, 0);
    await expect(frontend.activate(FEATURES, [queue.queue])).rejects.toMatchObject({ code: 'REFUSED' });
  });
});

test('requests of a back end that nobody knows are answered so, and do no harm', async () => {
  using driver = new DriverMemory();
  using backEnd = new BackEnd();
  await using frontend = await backEnd.open(driver);
  using queue = new DriverQueue(driver, 0);
  await frontend.activate(FEATURES, [queue.queue]);
  const { channel } = backEnd;
  if (!channel) throw new Error('the front end has handed a channel over');
  using event = EventFd.create();
  channel.sendMessage(message(77, u64(0n), VERSION | NEED_REPLY), [event.descriptor]);
  const { promise, resolve } = Promise.withResolvers<void>();
  using _watcher = channel.onReadable(resolve);
  await promise;
  const reply = new Uint8Array(20);
  expect(channel.tryReceiveMessage(reply)?.length).toBe(20);
  expect(reply.subarray(12)).toEqual(u64(1n));
  // The configuration is asked for, and differs from what the guest was told.
  channel.sendMessage(message(2, new Uint8Array(0), VERSION));
  expect(await backEnd.device.configChange()).toEqual(u32s(1, 2));
  expect(backEnd.device.failures).toEqual([]);
});

test('whatever a back end answers, the front end takes it or fails with a VhostUserError', async () => {
  const noise = fc.record({
    request: fc.oneof(fc.constantFrom(...Object.values(Request)), fc.nat({ max: 45 })),
    flags: fc.constantFrom(VERSION | REPLY, VERSION, VERSION | REPLY | NEED_REPLY, 0, 0xffffffff),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .array(fc.oneof(fc.constantFrom(0, 1, 8, 256, 0xffffffff), fc.nat()), { maxLength: 8 })
        .map((words) => u32s(...words)),
    ),
  });
  using driver = new DriverMemory();
  using queue = new DriverQueue(driver, 0);
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 20 }), noise, async (place, { request, flags, payload }) => {
      let asked = 0;
      using backEnd = new BackEnd((expected) =>
        asked++ === place ? message(request === 45 ? expected : request, payload, flags) : undefined,
      );
      try {
        await using frontend = await backEnd.open(driver, 20);
        await frontend.activate(FEATURES, [queue.queue]);
        await frontend.stopQueue(0);
        await frontend.reset();
      } catch (error) {
        expect(error).toBeInstanceOf(VhostUserError);
      }
      for (const failure of backEnd.device.failures) expect(failure).toBeInstanceOf(VhostUserError);
    }),
  );
});
