import type { FileDescriptor, MemFd, UnixSocket } from '@tsvmm/base';
import { VhostUserError } from '../errors.ts';
import { Connection, type Message } from '../protocol/connection.ts';
import { NEED_REPLY, PayloadReader, payload, REPLY } from '../protocol/messages.ts';
import { FrontendRequest, requestName } from '../protocol/requests.ts';

/** The payload of a reply, and for one of them a file that is only kept for the front end. */
export type Reply = Uint8Array | ReplyWithFile;

export interface ReplyWithFile {
  readonly bytes: Uint8Array;
  readonly file: MemFd;
}

/** Who does what the front end asks. */
export interface RequestHandler {
  /**
   * Does what is asked; the descriptors are closed afterwards.
   * @returns the reply, for those requests that have one; a promise when something has to end first
   * @throws VhostUserError PROTOCOL
   */
  handle(
    request: number,
    reader: PayloadReader,
    descriptors: readonly FileDescriptor[],
  ): Reply | undefined | Promise<Reply | undefined>;
  /** Whether REPLY_ACK was negotiated. */
  acknowledges(): boolean;
  /** Nothing more comes; with an error when the front end broke the protocol, or does not read. */
  onEnd(error: VhostUserError | undefined): void;
}

/** The back end's side of a connection: one request after the other, each with its reply or acknowledgement. */
export class Conversation implements Disposable {
  readonly #handler: RequestHandler;
  readonly #connection: Connection;
  /** Messages that came while one before them waits for requests to end. */
  readonly #backlog: Message[] = [];
  #isWaiting = false;
  #isDisposed = false;

  /** Takes the socket over. */
  constructor(socket: UnixSocket, handler: RequestHandler) {
    this.#handler = handler;
    this.#connection = new Connection(socket, {
      onMessage: (message) => this.#receive(message),
      onEnd: (error) => handler.onEnd(error),
    });
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#connection[Symbol.dispose]();
    for (const { descriptors } of this.#backlog.splice(0)) {
      for (const descriptor of descriptors) descriptor[Symbol.dispose]();
    }
  }

  #receive(message: Message): void {
    if (this.#isWaiting) this.#backlog.push(message);
    else this.#process(message);
  }

  #process(message: Message): void {
    const received = new DisposableStack();
    const descriptors = message.descriptors.map((descriptor) => received.use(descriptor));
    const name = requestName(FrontendRequest, message.request);
    const fail = (cause: unknown) => {
      const error =
        cause instanceof VhostUserError ? cause : new VhostUserError('PROTOCOL', `${name} failed`, { cause });
      if (error.code === 'DISCONNECTED' || !this.#wantsAcknowledgement(message)) this.#handler.onEnd(error);
      else this.#refuse(message);
    };
    try {
      const reply = this.#handler.handle(
        message.request,
        new PayloadReader(message.payload, name),
        descriptors,
      );
      if (reply instanceof Promise) {
        void this.#answerLater(message, reply, fail).finally(() => received.dispose());
        return;
      }
      this.#answer(message, reply);
    } catch (cause) {
      fail(cause);
    }
    received.dispose();
  }

  #answer(message: Message, reply: Reply | undefined): void {
    if (reply instanceof Uint8Array) this.#connection.send(message.request, REPLY, reply);
    else if (reply !== undefined) this.#answerWithFile(message, reply);
    else if (this.#wantsAcknowledgement(message)) this.#acknowledge(message, 0n);
  }

  #answerWithFile({ request }: Message, { bytes, file }: ReplyWithFile): void {
    using _file = file;
    this.#connection.send(request, REPLY, bytes, [file.descriptor]);
  }

  /** Answers when requests have ended; messages wait meanwhile. */
  async #answerLater(
    message: Message,
    reply: Promise<Reply | undefined>,
    fail: (cause: unknown) => void,
  ): Promise<void> {
    this.#isWaiting = true;
    try {
      const answer = await reply;
      if (!this.#isDisposed) this.#answer(message, answer);
    } catch (cause) {
      if (!this.#isDisposed) fail(cause);
    }
    this.#isWaiting = false;
    for (let next = this.#backlog.shift(); next !== undefined; next = this.#backlog.shift()) {
      this.#process(next);
      if (this.#isWaiting) return;
    }
  }

  #wantsAcknowledgement({ flags }: Message): boolean {
    return (flags & NEED_REPLY) !== 0 && this.#handler.acknowledges();
  }

  #refuse(message: Message): void {
    try {
      this.#acknowledge(message, 1n);
    } catch (error) {
      if (!(error instanceof VhostUserError)) throw error;
      this.#handler.onEnd(error);
    }
  }

  #acknowledge({ request }: Message, value: bigint): void {
    this.#connection.send(request, REPLY, payload.u64(value));
  }
}
