import { SystemError, type UnixSocket, type Watcher } from '@tsvmm/base';
import type { ByteRing } from '@tsvmm/devices';

const CHUNK = 16_384;

/**
 * Carries bytes between rings of this process and a stream socket to another one, whose rings are connected to the other end
 * in the same way. Whichever side is slow makes the other one wait.
 */
export class RingLink implements Disposable {
  /** Resolves when all bytes of `from` are sent and it was closed, or when nobody takes them any more. */
  readonly sent: Promise<void>;
  /** Resolves when the other side has sent its last byte and it is in `to`, which is closed then. */
  readonly received: Promise<void>;
  readonly #socket: UnixSocket;
  readonly #watchers = new Set<Watcher>();

  /** Takes the socket over. */
  constructor(
    socket: UnixSocket,
    { from, to }: { readonly from: ByteRing | undefined; readonly to: ByteRing | undefined },
  ) {
    this.#socket = socket;
    this.sent = from === undefined ? Promise.resolve() : this.#send(from);
    this.received = to === undefined ? Promise.resolve() : this.#receive(to);
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers) watcher[Symbol.dispose]();
    this.#watchers.clear();
    this.#socket[Symbol.dispose]();
  }

  async #send(from: ByteRing): Promise<void> {
    try {
      for (;;) {
        const bytes = from.peek();
        if (bytes.length > 0) {
          const count = this.#socket.trySendMessage(bytes);
          if (count > 0) from.consume(count);
          else await this.#next((callback) => this.#socket.onWritable(callback));
        } else if (from.closed && from.available === 0) {
          this.#socket.shutdown('send');
          return;
        } else {
          await from.dataAvailable();
        }
      }
    } catch (error) {
      // The other side has gone, or this one was disposed: what comes is dropped, and nobody waits for room.
      from.close();
      if (!(error instanceof SystemError)) throw error;
    }
  }

  async #receive(to: ByteRing): Promise<void> {
    const buffer = new Uint8Array(CHUNK);
    try {
      for (;;) {
        const message = this.#socket.tryReceiveMessage(buffer);
        if (message === undefined) {
          await this.#next((callback) => this.#socket.onReadable(callback));
          continue;
        }
        if (message.length === 0) break;
        for (let rest = buffer.subarray(0, message.length); rest.length > 0; ) {
          rest = rest.subarray(to.write(rest));
          if (rest.length > 0) await to.roomAvailable();
        }
      }
    } catch (error) {
      // That the connection broke is an end, too.
      if (!(error instanceof SystemError)) throw error;
    } finally {
      to.close();
    }
  }

  /** The socket's next event. */
  #next(watch: (callback: () => void) => Watcher): Promise<void> {
    return new Promise((resolve) => {
      const watcher = watch(() => {
        this.#watchers.delete(watcher);
        watcher[Symbol.dispose]();
        resolve();
      });
      this.#watchers.add(watcher);
    });
  }
}
