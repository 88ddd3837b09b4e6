import { EventFd, type FileDescriptor, MemFd, type UnixSocket } from '@tsvmm/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VhostUserError } from '../src/index.ts';
import {
  type Answer,
  BackEnd,
  message,
  NEED_REPLY,
  REPLY,
  Request,
  u32s,
  u64,
  VERSION,
} from './support/back-end.ts';
import { DriverMemory, DriverQueue, FEATURES } from './support/driver.ts';

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
      'has not answered GET_PROTOCOL_FEATURES in 1000 ms',
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
    await expect(backEnd.open(driver, code === 'TIMEOUT' ? 1000 : undefined)).rejects.toMatchObject({
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
    await using frontend = await backEnd.open(driver, code === 'TIMEOUT' ? 1000 : undefined);
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
