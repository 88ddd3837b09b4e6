import { EventFd, type FileDescriptor, MemFd, map, UnixSocket } from '@tsvmm/base';
import { BlockBackend, blockModel, featureSet, VirtioFeature, VirtqueueError } from '@tsvmm/devices';
import { MemoryStorage, openDisk } from '@tsvmm/disk';
import type { FuzzTarget } from '../../../tools/fuzz/target.ts';
import {
  decode,
  describeProgram,
  encode,
  mutateProgram,
  Op,
  type Step,
  step,
} from '../../devices/fuzz/guest/program.ts';
import { createInflightFile, VhostUserDevice, VhostUserError, VhostUserFrontend } from '../src/index.ts';
import { message, NEED_REPLY, u32s, u64, VERSION } from '../test/support/back-end.ts';
import { DriverMemory, DriverQueue, FEATURES, ObservedDevice } from '../test/support/driver.ts';
import { checkNoDescriptorLeft, isKindOf } from './oracles.ts';

const DISK_SIZE = 0x1_0000;
const MODEL = blockModel({ size: DISK_SIZE, queueCount: 2, packedQueue: true });

/** Where the memory of programs is in the guest, and where the front end says that it has it. */
const RAM = 0x8000_0000;
const USER = 0x7000_0000;
const MEMORY_SIZE = 0x2_0000;

/** Parts of queue `index` in that memory. */
const area = (index: number) => {
  const start = 0x4000 * (index % 2);
  return { descriptors: start, available: start + 0x1000, used: start + 0x2000, buffers: 0x1_0000 };
};

const PLACES = [
  RAM,
  USER,
  USER + MEMORY_SIZE,
  USER + 0x1000,
  USER + 0x2000,
  MEMORY_SIZE,
  1,
  8,
  12,
  32,
  40,
  256,
].map(BigInt);

/** Requests by the form of their payload (vhost-user, "Front-end message types"). */
const NUMBER_REQUESTS = [2, 12, 13, 14, 16, 39];
const STATE_REQUESTS = [8, 10, 11, 18, 42];
const MEMORY_TABLE = 5;
const ADDRESS = 9;
const CONFIG_REQUESTS = [24, 25];
const INFLIGHT_REQUESTS = [31, 32];
const EVENT_REQUESTS = [12, 13, 14];
const CHANNEL = 21;
const DEVICE_STATE = 42;

/** Bits of a step's first field. */
const Sent = { descriptors: 3, needsReply: 4, otherFile: 0x18 } as const;

/** A back end against a front end, and its guest, that do what a program says. */
export const backEndTarget: FuzzTarget = {
  seeds: async () => seeds().map(encode),
  mutate: (input, other, random) => mutateProgram(input, other, random, PLACES),
  describe: describeProgram,
  async exercise(bytes) {
    await checkNoDescriptorLeft(async () => {
      const disk = await openDisk('disk', {
        writable: true,
        format: 'raw',
        openStorage: () => MemoryStorage.from(new Uint8Array(DISK_SIZE)),
      });
      await using backend = new BlockBackend(disk);
      {
        using frontEnd = new HostileFrontEnd(backend);
        for (const part of decode(bytes)) await frontEnd.execute(part);
        await frontEnd.end();
      }
      await checkProperFrontEnd(backend);
    });
  },
};

/** Says what a program says. */
class HostileFrontEnd implements Disposable {
  readonly #backend: BlockBackend;
  readonly #memory = MemFd.create({ name: 'guest', size: MEMORY_SIZE });
  readonly #bytes: DataView;
  readonly #kick = EventFd.create();
  readonly #errors: unknown[] = [];
  readonly #record = createInflightFile(MODEL);
  /** Ends of a socket, of which one is handed over. */
  readonly #listening: UnixSocket;
  readonly #spare: UnixSocket;
  #socket: UnixSocket;
  #device: VhostUserDevice;
  readonly #available = [0, 0];

  constructor(backend: BlockBackend) {
    this.#backend = backend;
    this.#bytes = new DataView(map(this.#memory.descriptor.number, 0, MEMORY_SIZE));
    [this.#listening, this.#spare] = UnixSocket.pair();
    [this.#socket, this.#device] = this.#connect();
  }

  async execute(part: Step): Promise<void> {
    const { op, a, b, c, d, e, f } = part;
    switch (op) {
      case Op.turn:
        break;
      case Op.reset:
        this.#disconnect();
        [this.#socket, this.#device] = this.#connect();
        break;
      case Op.descriptor: {
        const at = area(a).descriptors + 16 * (b % 256);
        this.#bytes.setBigUint64(at, d, true);
        this.#bytes.setUint32(at + 8, c, true);
        this.#bytes.setUint16(at + 12, e & 0xffff, true);
        this.#bytes.setUint16(at + 14, f & 0xffff, true);
        break;
      }
      case Op.publish: {
        const { available } = area(a);
        const next = this.#available[a % 2] ?? 0;
        this.#bytes.setUint16(available + 4 + 2 * (next % 256), b, true);
        this.#available[a % 2] = (next + c) & 0xffff;
        this.#bytes.setUint16(available + 2, (next + c) & 0xffff, true);
        break;
      }
      case Op.poke:
        this.#bytes.setUint32(Number(d % BigInt(MEMORY_SIZE - 4)), c, true);
        break;
      case Op.kick:
        this.#kick.signal();
        break;
      case Op.request:
        this.#send(b, a, payloadOf(part));
        break;
      default:
        // Any payload, which may have another length than its header says.
        this.#send(b % 64, a, new Uint8Array(c % 300).fill(f), op % 2 === 0 ? c % 300 : e);
    }
    this.#listen();
    await new Promise(setImmediate);
  }

  /** @throws Error when the back end failed in another way than by refusing */
  async end(): Promise<void> {
    this.#disconnect();
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    for (const error of this.#errors) isKindOf(error, [VhostUserError, VirtqueueError]);
  }

  [Symbol.dispose](): void {
    this.#disconnect();
    this.#kick[Symbol.dispose]();
    this.#record[Symbol.dispose]();
    this.#listening[Symbol.dispose]();
    this.#spare[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }

  #connect(): [UnixSocket, VhostUserDevice] {
    const [ours, theirs] = UnixSocket.pair();
    const device = new VhostUserDevice(theirs, {
      name: 'virtio-blk',
      model: MODEL,
      backend: this.#backend,
      onBroken: (error) => this.#errors.push(error),
      onEnd: (error) => error && this.#errors.push(error),
    });
    return [ours, device];
  }

  #disconnect(): void {
    this.#socket[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }

  #send(request: number, how: number, payload: Uint8Array, length = payload.length): void {
    const file = this.#fileFor(request, (how & Sent.otherFile) >> 3);
    const flags = VERSION | ((how & Sent.needsReply) !== 0 ? NEED_REPLY : 0);
    try {
      this.#socket.trySendMessage(
        message(request, payload, flags, length),
        new Array<FileDescriptor>(how & Sent.descriptors).fill(file),
      );
    } catch {
      // The back end has ended the connection.
    }
  }

  /** What the request is for, or something else. */
  #fileFor(request: number, kind: number): FileDescriptor {
    if (kind === 1) return this.#memory.descriptor;
    if (kind === 2) return this.#kick.descriptor;
    if (kind === 3) return this.#spare.descriptor;
    if (EVENT_REQUESTS.includes(request)) return this.#kick.descriptor;
    if (request === CHANNEL || request === DEVICE_STATE) return this.#spare.descriptor;
    return INFLIGHT_REQUESTS.includes(request) ? this.#record.descriptor : this.#memory.descriptor;
  }

  /** Takes what the back end said, so that there is room for more. */
  #listen(): void {
    const buffer = new Uint8Array(4096);
    try {
      for (;;) {
        const received = this.#socket.tryReceiveMessage(buffer, 8);
        if (!received?.length) return;
        for (const descriptor of received.descriptors) descriptor[Symbol.dispose]();
      }
    } catch {
      // It has ended the connection.
    }
  }
}

/** A payload of the form that the request has, with the step's numbers in it. */
function payloadOf({ b: request, c, d, e, f }: Step): Uint8Array {
  if (NUMBER_REQUESTS.includes(request)) return u64(d);
  if (STATE_REQUESTS.includes(request)) return u32s(c, e);
  if (request === ADDRESS) {
    const moved = BigInt(e);
    const queue = area(c);
    const parts = [queue.descriptors, queue.used, queue.available].map((offset) =>
      u64(BigInt.asUintN(64, d + BigInt(offset) + moved)),
    );
    return Buffer.concat([u32s(c, f), ...parts, u64(0n)]);
  }
  if (request === MEMORY_TABLE) {
    const regions = Array.from({ length: c % 9 }, (_, index) =>
      Buffer.concat([
        u64(d + BigInt(index * MEMORY_SIZE)),
        u64(BigInt(e)),
        u64(BigInt(USER)),
        u64(BigInt(f)),
      ]),
    );
    return Buffer.concat([u32s(c, 0), ...regions]);
  }
  if (CONFIG_REQUESTS.includes(request)) {
    return Buffer.concat([u32s(c, e, f), new Uint8Array(e % 300).fill(7)]);
  }
  if (INFLIGHT_REQUESTS.includes(request)) return Buffer.concat([u64(d), u64(BigInt(e)), u32s(c, f)]);
  return new Uint8Array(0);
}

/** A front end that keeps to the protocol finds the device as it should be. */
async function checkProperFrontEnd(backend: BlockBackend): Promise<void> {
  using driver = new DriverMemory();
  using queue = new DriverQueue(driver, 0);
  const [ours, theirs] = UnixSocket.pair();
  using socket = ours;
  const errors: unknown[] = [];
  using _device = new VhostUserDevice(theirs, {
    name: 'virtio-blk',
    model: MODEL,
    backend,
    onBroken: (error) => errors.push(error),
    onEnd: (error) => error && errors.push(error),
  });
  const observed = new ObservedDevice(2, new Uint8Array(MODEL.config));
  const descriptor = {
    kind: 'vhost-user',
    socket: socket.descriptor.number,
    path: undefined,
    configLength: MODEL.config.length,
  } as const;
  await using frontEnd = await VhostUserFrontend.open(descriptor, observed, driver.memory);
  await frontEnd.activate(FEATURES, [queue.queue]);
  const [header, data, status] = [16, 512, 1].map((length) => driver.allocate(length));
  if (header === undefined || data === undefined || status === undefined) return;
  driver.memory.writeUint8(status, 0xff);
  queue.add(0, [
    { address: header, length: 16 },
    { address: data, length: 512, write: true },
    { address: status, length: 1, write: true },
  ]);
  await queue.used(1);
  const answer = driver.memory.readUint8(status);
  if (answer !== 0 || errors.length > 0) {
    throw new Error(`a proper front end reads a sector with status ${answer}`, { cause: errors[0] });
  }
}

const request = (b: number, fields: Partial<Step> = {}) => step(Op.request, { b, ...fields });

/** Set-up of the memory, and of a queue. */
function start(index: number, features: bigint): Step[] {
  const which = BigInt(index);
  return [
    request(3),
    request(1),
    request(2, { d: features }),
    request(15),
    request(16, {
      d: (1n << 0n) | (1n << 3n) | (1n << 5n) | (1n << 9n) | (1n << 12n) | (1n << 13n) | (1n << 16n),
    }),
    request(17),
    request(MEMORY_TABLE, { a: 1 | Sent.needsReply, c: 1, d: BigInt(RAM), e: MEMORY_SIZE }),
    request(8, { c: index, e: 256 }),
    request(10, { c: index }),
    request(ADDRESS, { a: Sent.needsReply, c: index, d: BigInt(USER) }),
    request(13, { a: 1, d: which }),
    request(12, { a: 1, d: which }),
    request(18, { c: index, e: 1 }),
  ];
}

/** A block request of three descriptors. */
function read(index: number): Step[] {
  const at = RAM + area(index).buffers;
  return [
    step(Op.descriptor, { a: index, b: 0, c: 16, d: BigInt(at), e: 1, f: 1 }),
    step(Op.descriptor, { a: index, b: 1, c: 512, d: BigInt(at + 512), e: 3, f: 2 }),
    step(Op.descriptor, { a: index, b: 2, c: 1, d: BigInt(at + 1024), e: 2 }),
    step(Op.publish, { a: index, b: 0, c: 1 }),
    step(Op.kick),
    step(Op.turn),
  ];
}

function seeds(): Step[][] {
  const basic = featureBits(VirtioFeature.version1, 30);
  const packed = featureBits(VirtioFeature.version1, VirtioFeature.ringPacked, 30);
  return [
    [...start(0, basic), ...read(0), request(11, { c: 0 }), ...start(1, basic), ...read(1)],
    [...start(0, packed), ...read(0), request(10, { c: 0, e: 0x8000_8000 }), request(11, { c: 0 })],
    [...start(0, basic), request(24, { c: 0, e: 8 }), request(25, { c: 0, e: 4 }), request(34), request(40)],
    [
      ...start(0, basic).slice(0, 6),
      request(31, { c: 2 | (256 << 16), d: 0n }),
      request(32, { a: 1, c: 2 | (256 << 16), d: 0x2000n }),
      ...start(0, basic).slice(6),
      ...read(0),
      step(Op.reset),
      ...start(0, basic),
      request(32, { a: 1, c: 2 | (256 << 16), d: 0x2000n }),
      ...read(0),
    ],
    [
      ...start(0, basic),
      request(21, { a: 1 }),
      request(39, { d: 15n }),
      ...read(0),
      request(39),
      step(Op.reset),
    ],
    [
      request(99, { a: 3 }),
      step(Op.writePci, { b: 5, c: 40, e: 8 }),
      step(Op.readPci, { b: 9, c: 200, e: 40 }),
    ],
  ];
}

function featureBits(...bits: readonly number[]): bigint {
  const { low, high } = featureSet(bits);
  return (BigInt(high) << 32n) | BigInt(low);
}
