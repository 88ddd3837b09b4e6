import { UnixSocket } from '@tsvmm/base';

/** A connection to the datagram socket at a path, for an event loop: it waits, but never blocks the thread. */
export class DatagramConnection implements Disposable {
  readonly #socket: UnixSocket;

  /** @throws SystemError ENOENT, ECONNREFUSED when nobody receives there, EPROTOTYPE for a socket of another type */
  constructor(path: string) {
    this.#socket = UnixSocket.connect(path, 'dgram');
  }

  /**
   * Sends one datagram, as soon as the receiver has room for it.
   * @throws SystemError ECONNREFUSED or ENOTCONN when the receiver has gone, EMSGSIZE
   */
  async send(bytes: Uint8Array): Promise<void> {
    while (this.#socket.trySendMessage(bytes) < 0) await this.#room();
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  /** Resolves when the receiver has taken something, or has gone: the next attempt tells which. */
  #room(): Promise<void> {
    return new Promise((resolve) => {
      const watcher = this.#socket.onWritable(() => {
        watcher[Symbol.dispose]();
        resolve();
      });
    });
  }
}
