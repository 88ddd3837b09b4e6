import { UnixListener, type UnixSocket, type Watcher } from '@tsvmm/base';
import type { VhostUserError } from '../errors.ts';
import { VhostUserDevice, type VhostUserDeviceOptions } from './device.ts';

/** What a {@link VhostUserServer} serves. */
export interface VhostUserServerOptions extends Omit<VhostUserDeviceOptions, 'onEnd'> {
  /** A front end has gone, with an error when it broke the protocol. The next one can come. */
  readonly onEnd?: (error: VhostUserError | undefined) => void;
}

/** Waits at a Unix socket for front ends of one device, and serves one after the other. */
export class VhostUserServer implements Disposable {
  readonly #listener: UnixListener;
  readonly #options: VhostUserServerOptions;
  readonly #watcher: Watcher;
  #device: VhostUserDevice | undefined;

  /** Takes the listener (of a stream socket) over. */
  constructor(listener: UnixListener, options: VhostUserServerOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#watcher = listener.onConnection((socket) => this.#accept(socket));
  }

  /** @throws {SystemError} of @tsvmm/base, EADDRINUSE when the path exists and is not what a server that was killed left */
  static listen(path: string, options: VhostUserServerOptions): VhostUserServer {
    return new VhostUserServer(UnixListener.listen(path, { replaceDead: true }), options);
  }

  #accept(socket: UnixSocket): void {
    // A device has one owner. One that comes again after its connection broke may be faster than that connection's end.
    this.#device?.[Symbol.dispose]();
    this.#device = new VhostUserDevice(socket, {
      ...this.#options,
      onEnd: (error) => {
        this.#device = undefined;
        this.#options.onEnd?.(error);
      },
    });
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    this.#device?.[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }
}
