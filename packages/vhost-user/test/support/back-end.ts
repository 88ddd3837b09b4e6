// The other side of a front end, as the test wants it.
import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import { VhostUserFrontend } from '../../src/index.ts';
import { type DriverMemory, ObservedDevice } from './driver.ts';

export const Request = {
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
export const PROTOCOL_FEATURES = (1n << 0n) | (1n << 3n) | (1n << 5n) | (1n << 9n) | (1n << 12n);
export const VERSION = 1;
export const REPLY = 4;
export const NEED_REPLY = 8;

export function message(
  request: number,
  payload: Uint8Array,
  flags = VERSION | REPLY,
  length = payload.length,
) {
  const header = Uint32Array.of(request, flags, length);
  return Buffer.concat([new Uint8Array(header.buffer), payload]);
}

export const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
export const u32s = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

/** What a back end answers; undefined: as it should. */
export type Answer = (request: number, socket: UnixSocket) => Uint8Array | 'nothing' | undefined;

/** A back end without a device, that answers as it should except where it is told to do otherwise. */
export class BackEnd implements Disposable {
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

export function usual(request: number, flags: number): Uint8Array | 'nothing' {
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
