import { bytes, struct, u16 } from '@tsvmm/struct';
import type { ByteRing } from '../../serial/byte-ring.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import { VirtqueueError } from '../queue/errors.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { SingleWait } from '../single-wait.ts';
import { EventType } from './kinds.ts';
import { InputQueue } from './model.ts';

/** Bytes of struct virtio_input_event (virtio 1.3, section 5.8.6): type, code and value. */
export const INPUT_EVENT_LENGTH = 8;

/** Most events of one status request: 64 times what Linux puts into one, and a bound for what a hostile driver can. */
const MAX_EVENTS = 64;

/** What an input device remembers beside its queues: events that the guest is still to get, and how far its own are. */
const stateLayout = struct(
  { gatheredLength: u16, statusSent: u16, gathered: bytes(MAX_EVENTS * INPUT_EVENT_LENGTH) },
  { name: 'virtio-input-state', version: 1 },
);

/** Hands on events as they are: those of the host's stream to the guest, and the guest's (LEDs that it switches) back. */
export class InputBackend implements VirtioBackend {
  readonly #events: ByteRing;
  readonly #status: ByteRing;
  #context: BackendContext | undefined;
  readonly #data: SingleWait;
  readonly #room: SingleWait;
  /** Taken from the stream, which may have stopped in the middle of an event. */
  readonly #gathered = new Uint8Array(MAX_EVENTS * INPUT_EVENT_LENGTH);
  #gatheredLength = 0;
  readonly #statusBytes = new Uint8Array(MAX_EVENTS * INPUT_EVENT_LENGTH);
  /** Bytes of the status request at hand that are in the ring already. */
  #statusSent = 0;

  /**
   * @param events what the guest is to get
   * @param status what it says
   */
  constructor(events: ByteRing, status: ByteRing) {
    this.#events = events;
    this.#status = status;
    this.#data = new SingleWait(
      () => events.dataAvailable(),
      () => this.#context?.wake(InputQueue.event),
    );
    this.#room = new SingleWait(
      () => status.roomAvailable(),
      () => this.#context?.wake(InputQueue.status),
    );
  }

  activate(context: BackendContext): void {
    this.#context = context;
  }

  reset(queue?: Virtqueue): undefined {
    if (!queue) this.#context = undefined;
    if (!queue || queue.index === InputQueue.status) this.#statusSent = 0;
  }

  drain(): undefined {}

  handle(queue: Virtqueue): boolean {
    return queue.index === InputQueue.event ? this.#sendEvents(queue) : this.#takeStatus(queue);
  }

  saveState(): Uint8Array {
    const state = new ArrayBuffer(stateLayout.size);
    const fields = stateLayout.attach(state);
    fields.gathered.set(this.#gathered);
    fields.gatheredLength = this.#gatheredLength;
    fields.statusSent = this.#statusSent;
    return stateLayout.snapshot(state);
  }

  loadState(saved: Uint8Array): void {
    const state = new ArrayBuffer(stateLayout.size);
    stateLayout.restore(saved, state);
    const { gathered, gatheredLength, statusSent } = stateLayout.attach(state);
    this.#gathered.set(gathered);
    this.#gatheredLength = Math.min(gatheredLength, gathered.length);
    this.#statusSent = statusSent;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #sendEvents(queue: Virtqueue): boolean {
    const { writable } = queue;
    if (writable.byteLength < INPUT_EVENT_LENGTH) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: no room for an event`);
    }
    this.#gather();
    const available = Math.min(this.#gatheredLength, writable.byteLength);
    const length = available - (available % INPUT_EVENT_LENGTH);
    if (length === 0) {
      if (!this.#events.closed) this.#data.start();
      return false;
    }
    writable.scatter(this.#gathered.subarray(0, length));
    this.#gathered.copyWithin(0, length, this.#gatheredLength);
    this.#gatheredLength -= length;
    queue.push(queue.head, length);
    return true;
  }

  /** Takes what there is and fits. */
  #gather(): void {
    const gathered = this.#gathered;
    while (this.#gatheredLength < gathered.length && this.#events.available > 0) {
      const taken = this.#events.peek().subarray(0, gathered.length - this.#gatheredLength);
      gathered.set(taken, this.#gatheredLength);
      this.#gatheredLength += taken.length;
      this.#events.consume(taken.length);
    }
  }

  #takeStatus(queue: Virtqueue): boolean {
    const { readable } = queue;
    const { byteLength } = readable;
    if (byteLength > this.#statusBytes.length || byteLength % INPUT_EVENT_LENGTH !== 0) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: ${byteLength} bytes of status`);
    }
    readable.takeFirst(this.#statusBytes.subarray(0, byteLength));
    const rest = withoutMisc(this.#statusBytes.subarray(0, byteLength)).subarray(this.#statusSent);
    const written = this.#status.write(rest);
    if (written < rest.length) {
      this.#statusSent += written;
      this.#room.start();
      return false;
    }
    this.#statusSent = 0;
    queue.push(queue.head, 0);
    return true;
  }
}

/** Leaves out, in place, what Linux says of its own time stamps and scan codes, as crosvm does. */
function withoutMisc(events: Uint8Array): Uint8Array {
  let length = 0;
  for (let at = 0; at < events.length; at += INPUT_EVENT_LENGTH) {
    const type = (events[at] ?? 0) | ((events[at + 1] ?? 0) << 8);
    if (type === EventType.misc) continue;
    events.copyWithin(length, at, at + INPUT_EVENT_LENGTH);
    length += INPUT_EVENT_LENGTH;
  }
  return events.subarray(0, length);
}
