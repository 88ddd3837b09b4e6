import type { FileDescriptor, UnixSocket, Watcher } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';
import { HEADER_LENGTH, MAXIMUM_DESCRIPTORS, MAXIMUM_PAYLOAD, VERSION, VERSION_MASK } from './messages.ts';

/** A message as it came. Whoever gets it owns its descriptors. */
export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly descriptors: readonly FileDescriptor[];
}

/** What a connection calls; each on the event loop of the thread that made it. */
export interface ConnectionEvents {
  onMessage(message: Message): void;
  /** Nothing more comes. With an error when the other side broke the protocol, or the connection did. */
  onEnd(error: VhostUserError | undefined): void;
}

/**
 * One direction-agnostic half of a vhost-user connection: a stream socket that carries messages, each with at most eight
 * descriptors. What does not have the form of a message ends it.
 */
export class Connection implements Disposable {
  readonly #socket: UnixSocket;
  readonly #events: ConnectionEvents;
  readonly #watcher: Watcher;
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #headerLength = 0;
  #payload: Uint8Array | undefined;
  #payloadLength = 0;
  #descriptors: FileDescriptor[] = [];

  /**
   * Takes the socket over.
   * @throws {SystemError} of @tsvmm/base when it is no socket but a file: nobody can wait for that
   */
  constructor(socket: UnixSocket, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    using onFailure = new DisposableStack();
    onFailure.use(socket);
    this.#watcher = socket.onReadable(() => this.#receive());
    onFailure.move();
  }

  /**
   * Sends a message; the descriptors stay the caller's.
   *
   * @throws VhostUserError DISCONNECTED, also when the other side has left so much unread that there is no room for more
   */
  send(
    request: number,
    flags: number,
    payload: Uint8Array,
    descriptors: readonly FileDescriptor[] = [],
  ): void {
    const message = new Uint8Array(HEADER_LENGTH + payload.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, request, true);
    view.setUint32(4, flags | VERSION, true);
    view.setUint32(8, payload.length, true);
    message.set(payload, HEADER_LENGTH);
    let sent: number;
    try {
      sent = this.#socket.trySendMessage(message, descriptors);
    } catch (cause) {
      throw new VhostUserError('DISCONNECTED', 'the vhost-user connection has ended', { cause });
    }
    if (sent < message.length) {
      throw new VhostUserError('DISCONNECTED', 'the other side does not read what it is sent by vhost-user');
    }
  }

  /** Gives the socket to the caller. Nothing is received any more. */
  release(): UnixSocket {
    this.#watcher[Symbol.dispose]();
    this.#dropDescriptors();
    return this.#socket;
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    this.#dropDescriptors();
  }

  #receive(): void {
    try {
      // One message at a time: what one of them starts may dispose this.
      if (!this.#receivePart()) return;
    } catch (cause) {
      const broken = new VhostUserError('DISCONNECTED', 'the vhost-user connection broke', { cause });
      this.#end(cause instanceof VhostUserError ? cause : broken);
      return;
    }
    const view = new DataView(this.#header.buffer);
    const message: Message = {
      request: view.getUint32(0, true),
      flags: view.getUint32(4, true),
      payload: this.#payload ?? new Uint8Array(),
      descriptors: this.#descriptors,
    };
    this.#headerLength = 0;
    this.#payload = undefined;
    this.#descriptors = [];
    this.#events.onMessage(message);
  }

  /** Takes what has arrived of the header or, after it, of the payload. Returns whether the message is complete. */
  #receivePart(): boolean {
    if (this.#payload === undefined) {
      // No more than the header: the descriptors of the next message come with its first byte.
      const rest = this.#header.subarray(this.#headerLength);
      const received = this.#socket.tryReceiveMessage(rest, MAXIMUM_DESCRIPTORS - this.#descriptors.length);
      if (received === undefined) return false;
      this.#descriptors.push(...received.descriptors);
      if (received.length === 0) {
        this.#end(this.#headerLength === 0 ? undefined : endedInside());
        return false;
      }
      this.#headerLength += received.length;
      if (this.#headerLength < HEADER_LENGTH) return false;
      this.#payload = new Uint8Array(this.#checkHeader());
      this.#payloadLength = 0;
      return this.#payload.length === 0;
    }
    const received = this.#socket.tryReceiveMessage(this.#payload.subarray(this.#payloadLength));
    if (received === undefined) return false;
    if (received.length === 0) throw endedInside();
    this.#payloadLength += received.length;
    return this.#payloadLength === this.#payload.length;
  }

  /** @returns the payload's length */
  #checkHeader(): number {
    const view = new DataView(this.#header.buffer);
    const version = view.getUint32(4, true) & VERSION_MASK;
    const length = view.getUint32(8, true);
    if (version !== VERSION) {
      throw new VhostUserError(
        'PROTOCOL',
        `the other side speaks version ${version} of vhost-user, not ${VERSION}`,
      );
    }
    if (length > MAXIMUM_PAYLOAD) {
      throw new VhostUserError(
        'PROTOCOL',
        `the other side announced a vhost-user message of ${length} bytes, and the longest has ${MAXIMUM_PAYLOAD}`,
      );
    }
    return length;
  }

  #end(error: VhostUserError | undefined): void {
    this.#watcher[Symbol.dispose]();
    this.#dropDescriptors();
    this.#events.onEnd(error);
  }

  #dropDescriptors(): void {
    for (const descriptor of this.#descriptors) descriptor[Symbol.dispose]();
    this.#descriptors = [];
  }
}

function endedInside(): VhostUserError {
  return new VhostUserError('DISCONNECTED', 'the vhost-user connection ended inside a message');
}
