import type { Storage } from '@tsvmm/disk';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import { Inflight, type InflightRequest } from '../inflight.ts';
import { VirtqueueError } from '../queue/errors.ts';
import { Segments } from '../queue/segments.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';

/** Requests and what they are answered (virtio 1.3, section 5.19.6 and 5.19.7): 32 bits each. */
const FLUSH = 0;
const SUCCESS = 0;
const FAILURE = -1;
const WORD = 4;

/** A flush, which waits for the host. */
class FlushRequest implements InflightRequest {
  queue: Virtqueue | undefined;
  readonly #head: number;
  readonly #room = new Segments();

  /** @throws VirtqueueError BAD_REQUEST when the driver's buffers are no request */
  constructor(queue: Virtqueue) {
    const type = new Uint8Array(WORD);
    if (!queue.readable.takeFirst(type) || queue.writable.byteLength < WORD) {
      throw new VirtqueueError(
        'BAD_REQUEST',
        `queue ${queue.index}: a request of 4 bytes has 4 bytes of answer`,
      );
    }
    if (type.some((byte) => byte !== FLUSH)) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: there are no requests but flushes`);
    }
    this.queue = queue;
    this.#head = queue.head;
    this.#room.copyFrom(queue.writable);
  }

  /** Gives the request back to its driver, unless that has forgotten it. @returns the queue it went to */
  finish(result: number): Virtqueue | undefined {
    const { queue } = this;
    this.queue = undefined;
    queue?.push(this.#head, this.#room.scatter(new Uint8Array(Int32Array.of(result).buffer)));
    return queue;
  }
}

/** Brings what guests wrote to persistent memory to the file that it is. */
export class PmemBackend implements VirtioBackend {
  /** Undefined for memory that lasts no longer than the machine. */
  readonly #storage: Storage | undefined;
  readonly #inflight = new Inflight<FlushRequest>();
  #context: BackendContext | undefined;

  /** Takes the file over. */
  constructor(storage?: Storage) {
    this.#storage = storage;
  }

  activate(context: BackendContext): void {
    this.#context = context;
  }

  reset(queue?: Virtqueue): Promise<void> | undefined {
    if (!queue) this.#context = undefined;
    return this.#inflight.reset(queue);
  }

  drain(queue?: Virtqueue): Promise<void> | undefined {
    return this.#inflight.drain(queue);
  }

  handle(queue: Virtqueue): boolean {
    const request = new FlushRequest(queue);
    this.#inflight.add(request);
    void this.#serve(request);
    return true;
  }

  /** Waits for the requests under way, flushes and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using storage = this.#storage;
    await this.#inflight.drain();
    await storage?.sync();
  }

  async #serve(request: FlushRequest): Promise<void> {
    let result = SUCCESS;
    try {
      // What the guest wrote is in the host's page cache: a flush of the file has all of it.
      await this.#storage?.sync();
    } catch {
      // The host's error is the guest's to see.
      result = FAILURE;
    }
    const queue = request.finish(result);
    if (queue) this.#context?.announce(queue);
    this.#inflight.end(request);
  }
}
