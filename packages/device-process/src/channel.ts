import {
  type FileDescriptor,
  type ReceivedMessage,
  SystemError,
  type UnixSocket,
  type Watcher,
} from '@tsvmm/base';
import { MAXIMUM_PACKET } from './protocol.ts';

/** Descriptors that come with one packet at most. */
const MAXIMUM_DESCRIPTORS = 8;

export interface ChannelEvents {
  /** Whoever gets the descriptors owns them. */
  onMessage(message: unknown, descriptors: readonly FileDescriptor[]): void;
  /** The other side has gone, or (with an error) what it sent was no message. */
  onEnd(error: unknown): void;
}

/** Packets of JSON on a seqpacket socket, with descriptors. */
export class Channel<Sent extends object> implements Disposable {
  readonly #socket: UnixSocket;
  readonly #watcher: Watcher;
  readonly #buffer = new Uint8Array(MAXIMUM_PACKET);
  readonly #events: ChannelEvents;

  /** Uses the socket, which stays its owner's. */
  constructor(socket: UnixSocket, events: ChannelEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#watcher = socket.onReadable(() => this.#receive());
  }

  /**
   * Sends without waiting; the descriptors stay the caller's. False when the other side has left so much unread that there is
   * no room.
   *
   * @throws SystemError EPIPE when it has gone
   */
  send(message: Sent, descriptors: readonly FileDescriptor[] = []): boolean {
    return this.#socket.trySendMessage(Buffer.from(JSON.stringify(message)), descriptors) >= 0;
  }

  /** Sends, and blocks the thread while there is no room. */
  sendBlocking(message: Sent): void {
    this.#socket.sendMessage(Buffer.from(JSON.stringify(message)));
  }

  #receive(): void {
    try {
      const packet = this.#socket.tryReceiveMessage(this.#buffer, MAXIMUM_DESCRIPTORS);
      if (packet === undefined) return;
      if (packet.length === 0) {
        this.#end(undefined);
        return;
      }
      this.#events.onMessage(this.#parse(packet), packet.descriptors);
    } catch (error) {
      this.#end(error instanceof SystemError && error.code === 'ECONNRESET' ? undefined : error);
    }
  }

  #parse({ length, descriptors }: ReceivedMessage): unknown {
    try {
      return JSON.parse(Buffer.from(this.#buffer.buffer, 0, length).toString());
    } catch (error) {
      for (const descriptor of descriptors) descriptor[Symbol.dispose]();
      throw error;
    }
  }

  #end(error: unknown): void {
    this[Symbol.dispose]();
    this.#events.onEnd(error);
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
  }
}
