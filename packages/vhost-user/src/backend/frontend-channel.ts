import { type FileDescriptor, UnixSocket } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';
import { Connection } from '../protocol/connection.ts';
import { BackendRequest } from '../protocol/requests.ts';

/** The channel on which a front end is told something that it did not ask for ("Back-end communication"). */
export class FrontendChannel implements Disposable {
  readonly #connection: Connection;

  /** Takes the socket over. */
  constructor(socket: FileDescriptor) {
    this.#connection = new Connection(new UnixSocket(socket), {
      // Nothing is asked that would have to be answered.
      onMessage: ({ descriptors }) => {
        for (const descriptor of descriptors) descriptor[Symbol.dispose]();
      },
      // The connection on which it was handed over says what becomes of the front end.
      onEnd: () => {},
    });
  }

  /** The device-specific configuration has changed. */
  configChanged(): void {
    try {
      this.#connection.send(BackendRequest.CONFIG_CHANGE_MSG, 0, new Uint8Array(0));
    } catch (error) {
      // A front end that does not listen has the old configuration: that is its own affair.
      if (!(error instanceof VhostUserError)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
