import { UnixSocket } from '@tsvmm/base';
import { Connection } from '../protocol/connection.ts';
import { NEED_REPLY, payload, REPLY } from '../protocol/messages.ts';
import { BackendRequest, FrontendRequest } from '../protocol/requests.ts';
import type { VhostUserClient } from './client.ts';

/** The answers to a back end's request: done, and not known here. */
const DONE = 0n;
const UNKNOWN = 1n;

/** The channel on which a back end asks something of its front end ("Back-end communication"). */
export class BackendChannel implements Disposable {
  readonly #connection: Connection;

  private constructor(socket: UnixSocket, onConfigChange: () => void) {
    this.#connection = new Connection(socket, {
      onMessage: ({ request, flags, descriptors }) => {
        for (const descriptor of descriptors) descriptor[Symbol.dispose]();
        const isKnown = request === BackendRequest.CONFIG_CHANGE_MSG;
        if (isKnown) onConfigChange();
        if ((flags & NEED_REPLY) !== 0) {
          this.#connection.send(request, REPLY, payload.u64(isKnown ? DONE : UNKNOWN));
        }
      },
      // The connection on which it was handed over says what becomes of the back end.
      onEnd: () => {},
    });
  }

  /**
   * Hands one end to the back end and listens at the other.
   * @throws VhostUserError as `VhostUserClient.tell`
   */
  static async open(client: VhostUserClient, onConfigChange: () => void): Promise<BackendChannel> {
    const [ours, theirs] = UnixSocket.pair();
    using _theirs = theirs;
    const channel = new BackendChannel(ours, onConfigChange);
    try {
      await client.tell(FrontendRequest.SET_BACKEND_REQ_FD, undefined, [theirs.descriptor]);
    } catch (error) {
      channel[Symbol.dispose]();
      throw error;
    }
    return channel;
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
