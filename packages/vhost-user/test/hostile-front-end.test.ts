import { readdirSync } from 'node:fs';
import { type FileDescriptor, MemFd, UnixSocket } from '@tsvmm/base';
import { blockModel, RngBackend } from '@tsvmm/devices';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VhostUserDevice, VhostUserError } from '../src/index.ts';

const GET_FEATURES = 1;
const SET_BACKEND_REQ_FD = 21;
const VERSION = 1;
const NEED_REPLY = 8;

function message(request: number, payload: Uint8Array, flags = VERSION, length = payload.length): Uint8Array {
  const bytes = new Uint8Array(12 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, length, true);
  bytes.set(payload, 12);
  return bytes;
}

/** A front end that says what it likes to a device. */
class FrontEnd implements Disposable {
  readonly socket: UnixSocket;
  readonly #device: VhostUserDevice;
  readonly ended: Promise<VhostUserError | undefined>;

  constructor() {
    const [ours, theirs] = UnixSocket.pair();
    const { promise, resolve } = Promise.withResolvers<VhostUserError | undefined>();
    this.socket = ours;
    this.ended = promise;
    this.#device = new VhostUserDevice(theirs, {
      name: 'virtio-blk',
      model: blockModel({ size: 2 ** 20, readOnly: false }),
      backend: new RngBackend(),
      onBroken: () => {},
      onEnd: resolve,
    });
  }

  send(bytes: Uint8Array, descriptors: readonly FileDescriptor[] = []): void {
    this.socket.sendMessage(bytes, descriptors);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }
}

const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
const u32s = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

describe('a device ends the connection, and says why, when its front end', () => {
  test.each([
    ['speaks another version', message(GET_FEATURES, new Uint8Array(), 2), 'version 2'],
    [
      'announces a message without an end',
      message(GET_FEATURES, new Uint8Array(), VERSION, 2 ** 31),
      '2147483648 bytes',
    ],
    ['asks what nobody knows', message(999, new Uint8Array()), 'request 999'],
    ['accepts features that were not offered', message(2, u64(1n << 63n)), 'were not offered'],
    ['breaks off inside a payload', message(8, u32s(0)), 'ends too early'],
    ['names a ring that there is not', message(8, u32s(99, 8)), 'there is no ring 99'],
    [
      'sends memory without descriptors',
      message(5, u32s(1, 0, ...new Array(8).fill(0))),
      '1 memory regions came with 0 descriptors',
    ],
    ['wants its writes logged', message(9, u32s(0, 1, ...new Array(8).fill(0))), 'are not logged'],
    [
      'reads configuration that there is not',
      message(24, u32s(250, 8, 0, 0, 0)),
      'not in a configuration space',
    ],
    ['wants to poll', message(12, u64(0x100n)), 'polled'],
  ])('%s', async (_, bytes, problem) => {
    using frontEnd = new FrontEnd();
    frontEnd.send(bytes);
    expect(await frontEnd.ended).toMatchObject({
      name: 'VhostUserError',
      message: expect.stringContaining(problem),
    });
  });

  test('goes away inside a message', async () => {
    using frontEnd = new FrontEnd();
    frontEnd.send(message(GET_FEATURES, new Uint8Array()).subarray(0, 5));
    frontEnd.socket.shutdown('send');
    expect(await frontEnd.ended).toMatchObject({ code: 'DISCONNECTED' });
  });

  test('gives memory that ends before it should', async () => {
    using frontEnd = new FrontEnd();
    using file = MemFd.create({ name: 'short', size: 4096 });
    const region = [0n, 8192n, 0n, 0n].map(u64);
    frontEnd.send(message(5, Buffer.concat([u32s(1, 0), ...region])), [file.descriptor]);
    expect(await frontEnd.ended).toMatchObject({ message: expect.stringContaining('a file that has 4096') });
  });
});

test('a front end that never reads what it asked for, or that it was refused, is let go of', async () => {
  for (const bytes of [
    message(GET_FEATURES, new Uint8Array()),
    message(8, u32s(99, 8), VERSION | NEED_REPLY),
  ]) {
    using frontEnd = new FrontEnd();
    frontEnd.send(message(16, u64(1n << 3n)));
    const asking = (async () => {
      // The socket has room again when the device has taken a message, until the device is gone.
      for (;;) {
        try {
          frontEnd.socket.trySendMessage(bytes);
        } catch {
          return;
        }
        await new Promise(setImmediate);
      }
    })();
    expect(await frontEnd.ended).toMatchObject({
      code: 'DISCONNECTED',
      message: expect.stringContaining('does not read'),
    });
    await asking;
  }
});

test('a front end that wants acknowledgements gets refusals as answers', async () => {
  using frontEnd = new FrontEnd();
  frontEnd.send(message(16, u64(1n << 3n)));
  frontEnd.send(message(8, u32s(99, 8), VERSION | NEED_REPLY));
  const buffer = new Uint8Array(64);
  await new Promise<void>((resolve) => {
    const watcher = frontEnd.socket.onReadable(() => {
      watcher[Symbol.dispose]();
      resolve();
    });
  });
  const { length = 0 } = frontEnd.socket.tryReceiveMessage(buffer) ?? {};
  expect(length).toBe(20);
  expect(new DataView(buffer.buffer).getBigUint64(12, true)).toBe(1n);
});

test('a channel that nobody can wait for is refused, and closed', async () => {
  using frontEnd = new FrontEnd();
  using file = MemFd.create({ name: 'no channel', size: 4096 });
  frontEnd.send(message(16, u64((1n << 3n) | (1n << 5n))));
  const answer = new Uint8Array(20);
  const refuse = async () => {
    frontEnd.send(message(SET_BACKEND_REQ_FD, new Uint8Array(), VERSION | NEED_REPLY), [file.descriptor]);
    while (frontEnd.socket.tryReceiveMessage(answer) === undefined) await new Promise(setImmediate);
    expect(new DataView(answer.buffer).getBigUint64(12, true)).toBe(1n);
  };
  await refuse();
  const before = readdirSync('/proc/self/fd').length;
  for (let times = 0; times < 10; times++) await refuse();
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});

test('whatever a front end says ends the connection with a VhostUserError, or is taken', async () => {
  const payloads = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .array(fc.oneof(fc.constantFrom(0, 1, 2, 8, 256, 0xffffffff), fc.nat()), { maxLength: 20 })
      .map((words) => u32s(...words)),
  );
  const messages = fc.record({
    request: fc.oneof(fc.integer({ min: 0, max: 44 }), fc.nat()),
    flags: fc.constantFrom(VERSION, VERSION | NEED_REPLY, 0),
    payload: payloads,
    descriptors: fc.integer({ min: 0, max: 3 }),
  });
  using file = MemFd.create({ name: 'memory', size: 65_536 });
  await fc.assert(
    fc.asyncProperty(fc.array(messages, { minLength: 1, maxLength: 12 }), async (list) => {
      using frontEnd = new FrontEnd();
      for (const { request, flags, payload, descriptors } of list) {
        try {
          frontEnd.send(message(request, payload, flags), new Array(descriptors).fill(file.descriptor));
        } catch {
          // The device has ended the connection already.
          break;
        }
        await new Promise(setImmediate);
      }
      frontEnd.socket.shutdown('send');
      const error = await frontEnd.ended;
      if (error !== undefined) expect(error).toBeInstanceOf(VhostUserError);
    }),
  );
});
