import type { FileDescriptor, UnixSocket } from '@tsvmm/base';
import { type FeatureSet, featureSet, hasFeature, VirtioFeature } from '@tsvmm/devices';
import { VhostUserError } from '../errors.ts';
import { Connection, type Message } from '../protocol/connection.ts';
import { featureBits, featureSetOf } from '../protocol/features.ts';
import { NEED_REPLY, PayloadReader, payload, REPLY, VERSION_MASK } from '../protocol/messages.ts';
import {
  FrontendRequest,
  PROTOCOL_FEATURES_BIT,
  ProtocolFeature,
  requestName,
} from '../protocol/requests.ts';

/** How long a back end may take for an answer. It may have to end requests first. */
const TIME_LIMIT_MS = 30_000;

/** Protocol features that this front end uses where the back end has them. */
const PROTOCOL_FEATURES = featureSet([
  ProtocolFeature.MQ,
  ProtocolFeature.REPLY_ACK,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.CONFIG,
  ProtocolFeature.INFLIGHT_SHMFD,
  ProtocolFeature.RESET_DEVICE,
  ProtocolFeature.STATUS,
  ProtocolFeature.DEVICE_STATE,
]);

/** A payload without anything in it. */
const NOTHING = new Uint8Array(0);

export interface VhostUserClientOptions {
  /** For messages: the device, and where its back end is. */
  readonly name: string;
  /** Milliseconds that the back end may take for an answer; 30,000 unless given. */
  readonly timeLimit?: number;
  /** The connection has ended, on whichever side: with the reason, which is also that of the requests that were under way. */
  readonly onEnd?: (error: VhostUserError) => void;
}

interface PendingReply {
  readonly request: number;
  readonly reply: PromiseWithResolvers<Message>;
  readonly timer: NodeJS.Timeout;
}

/**
 * The front end's side of a connection: requests, and the replies that belong to them. What is not an answer to what was asked,
 * or does not come in time, ends the connection.
 */
export class VhostUserClient implements Disposable {
  readonly #options: VhostUserClientOptions;
  readonly #connection: Connection;
  readonly #pending: PendingReply[] = [];
  readonly #ended = new AbortController();
  #error: VhostUserError | undefined;
  #hasProtocolFeatures = false;
  #protocolFeatures: FeatureSet = { low: 0, high: 0 };

  /** Takes the socket over. */
  constructor(socket: UnixSocket, options: VhostUserClientOptions) {
    this.#options = options;
    this.#connection = new Connection(socket, {
      onMessage: (message) => this.#receive(message),
      onEnd: (error) => this.#end(error ?? this.#failure('DISCONNECTED', 'closed the connection')),
    });
  }

  /** Aborted, with the reason, when nothing can be asked any more. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Whether nothing can be asked any more. */
  get isEnded(): boolean {
    return this.#error !== undefined;
  }

  /** Whether the back end knows protocol features at all. */
  get hasProtocolFeatures(): boolean {
    return this.#hasProtocolFeatures;
  }

  /** Whether a protocol feature was negotiated. */
  has(feature: number): boolean {
    return hasFeature(this.#protocolFeatures, feature);
  }

  /**
   * Negotiates protocol features.
   * @returns the features of the virtio device
   * @throws VhostUserError UNSUPPORTED, and those of {@link ask}
   */
  async handshake(): Promise<FeatureSet> {
    const features = featureSetOf(await this.#askNumber(FrontendRequest.GET_FEATURES));
    if (!hasFeature(features, VirtioFeature.version1)) {
      throw this.#failure('UNSUPPORTED', 'is not a back end of virtio 1, and nothing older is supported');
    }
    if (hasFeature(features, PROTOCOL_FEATURES_BIT)) {
      const offered = featureSetOf(await this.#askNumber(FrontendRequest.GET_PROTOCOL_FEATURES));
      const { low, high } = PROTOCOL_FEATURES;
      const chosen = { low: (offered.low & low) >>> 0, high: (offered.high & high) >>> 0 };
      await this.tell(FrontendRequest.SET_PROTOCOL_FEATURES, payload.u64(featureBits(chosen)));
      this.#hasProtocolFeatures = true;
      this.#protocolFeatures = chosen;
    }
    return features;
  }

  /**
   * Sends a request that has a reply.
   * @param read makes of the reply what is wanted; descriptors that come with it are closed afterwards
   * @returns what `read` made
   * @throws VhostUserError PROTOCOL, TIMEOUT, DISCONNECTED: the connection has ended then
   */
  async ask<T>(
    request: number,
    bytes: Uint8Array,
    read: (reader: PayloadReader, descriptors: readonly FileDescriptor[]) => T,
    descriptors: readonly FileDescriptor[] = [],
  ): Promise<T> {
    return await this.#exchange(request, 0, bytes, descriptors, read);
  }

  /**
   * Sends a request that has no reply, and waits until it is carried out where the back end can say that.
   * @throws VhostUserError REFUSED when the back end could not do it; and those of {@link ask}
   */
  async tell(
    request: number,
    bytes: Uint8Array = NOTHING,
    descriptors: readonly FileDescriptor[] = [],
  ): Promise<void> {
    if (!this.has(ProtocolFeature.REPLY_ACK)) {
      this.#send(request, 0, bytes, descriptors);
      return;
    }
    const result = await this.#exchange(request, NEED_REPLY, bytes, descriptors, (reader) => reader.u64());
    if (result !== 0n) {
      throw this.#failure('REFUSED', `could not do ${requestName(FrontendRequest, request)}`);
    }
  }

  /** Waits until what was told is carried out, also by a back end that acknowledges nothing. */
  async settle(): Promise<void> {
    if (!this.has(ProtocolFeature.REPLY_ACK)) await this.#askNumber(FrontendRequest.GET_FEATURES);
  }

  /** How many queues the device has; undefined when the back end does not say. */
  async queueCount(): Promise<number | undefined> {
    if (!this.has(ProtocolFeature.MQ)) return undefined;
    return Number(await this.#askNumber(FrontendRequest.GET_QUEUE_NUM));
  }

  /**
   * The first `length` bytes of the device-specific configuration.
   * @throws VhostUserError UNSUPPORTED when the back end has none, or not as much; and those of {@link ask}
   */
  async config(length: number): Promise<Uint8Array> {
    if (length === 0) return NOTHING;
    if (!this.has(ProtocolFeature.CONFIG)) {
      throw this.#failure('UNSUPPORTED', 'does not tell the configuration of its device');
    }
    const bytes = await this.ask(
      FrontendRequest.GET_CONFIG,
      payload.config(0, 0, new Uint8Array(length)),
      (reader) => reader.config(),
    );
    // A back end that cannot answer sends nothing.
    if (bytes.length !== length) {
      throw this.#failure('UNSUPPORTED', `has ${bytes.length} bytes of configuration instead of ${length}`);
    }
    return bytes;
  }

  /** Gives the socket to the caller, and asks nothing any more. */
  release(): UnixSocket {
    this.#error = this.#failure('DISCONNECTED', 'was handed on');
    return this.#connection.release();
  }

  /** Ends the connection; nobody is told. */
  [Symbol.dispose](): void {
    this.#fail(this.#failure('DISCONNECTED', 'was let go of'));
  }

  #send(request: number, flags: number, bytes: Uint8Array, descriptors: readonly FileDescriptor[]): void {
    if (this.#error) throw this.#error;
    try {
      this.#connection.send(request, flags, bytes, descriptors);
    } catch (cause) {
      if (cause instanceof VhostUserError) this.#end(cause);
      throw cause;
    }
  }

  #askNumber(request: number): Promise<bigint> {
    return this.ask(request, NOTHING, (reader) => reader.u64());
  }

  async #exchange<T>(
    request: number,
    flags: number,
    bytes: Uint8Array,
    descriptors: readonly FileDescriptor[],
    read: (reader: PayloadReader, descriptors: readonly FileDescriptor[]) => T,
  ): Promise<T> {
    this.#send(request, flags, bytes, descriptors);
    const { timeLimit = TIME_LIMIT_MS } = this.#options;
    const name = requestName(FrontendRequest, request);
    const reply = Promise.withResolvers<Message>();
    const timer = setTimeout(
      () => this.#end(this.#failure('TIMEOUT', `has not answered ${name} in ${timeLimit} ms`)),
      timeLimit,
    );
    this.#pending.push({ request, reply, timer });
    const message = await reply.promise;
    using received = new DisposableStack();
    for (const descriptor of message.descriptors) received.use(descriptor);
    try {
      return read(new PayloadReader(message.payload, `the reply to ${name}`), message.descriptors);
    } catch (error) {
      if (error instanceof VhostUserError) this.#end(error);
      throw error;
    }
  }

  #receive(message: Message): void {
    const pending = this.#pending[0];
    const isReply = (message.flags & ~VERSION_MASK) === REPLY;
    if (pending === undefined || !isReply || message.request !== pending.request) {
      for (const descriptor of message.descriptors) descriptor[Symbol.dispose]();
      const expected = pending ? `the reply to ${requestName(FrontendRequest, pending.request)}` : 'nothing';
      const came = requestName(FrontendRequest, message.request);
      this.#end(this.#failure('PROTOCOL', `sent ${came} where ${expected} was expected`));
      return;
    }
    this.#pending.shift();
    clearTimeout(pending.timer);
    pending.reply.resolve(message);
  }

  #end(error: VhostUserError): void {
    if (this.#fail(error)) this.#options.onEnd?.(error);
  }

  /** @returns whether the connection was there until now */
  #fail(error: VhostUserError): boolean {
    if (this.#error) return false;
    this.#error = error;
    this.#ended.abort(error);
    this.#connection[Symbol.dispose]();
    for (const { reply, timer } of this.#pending.splice(0)) {
      clearTimeout(timer);
      reply.reject(error);
    }
    return true;
  }

  #failure(code: VhostUserError['code'], what: string): VhostUserError {
    return new VhostUserError(code, `the back end of ${this.#options.name} ${what}`);
  }
}
