import type { ByteRing } from '../../serial/byte-ring.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { SingleWait } from '../single-wait.ts';

/** What a port's owner does for it. */
export interface PortWaker {
  /** There is input, or no more to come. */
  wakeReceive(): void;
  /** There is room for output. */
  wakeTransmit(): void;
}

/** One port of a console: moves bytes between its queues and its rings; whichever side is slow makes the other one wait. */
export class ConsolePort {
  readonly #output: ByteRing;
  readonly #input: ByteRing | undefined;
  readonly #room: SingleWait;
  readonly #data: SingleWait | undefined;
  /** Bytes of the transmit request at hand that are in the output ring already. */
  #transmitted = 0;

  constructor(output: ByteRing, input: ByteRing | undefined, waker: PortWaker) {
    this.#output = output;
    this.#input = input;
    this.#room = new SingleWait(
      () => output.roomAvailable(),
      () => waker.wakeTransmit(),
    );
    this.#data =
      input &&
      new SingleWait(
        () => input.dataAvailable(),
        () => waker.wakeReceive(),
      );
  }

  /** Bytes of the request at hand that were sent: whoever goes on with it must not send them again. */
  get transmitted(): number {
    return this.#transmitted;
  }
  set transmitted(count: number) {
    this.#transmitted = count;
  }

  /** What was sent of the request at hand is void: its driver has reset the queue. */
  resetTransmit(): void {
    this.#transmitted = 0;
  }

  /** Serves a request of the transmit queue; false when the rest has to wait for room. */
  transmit(queue: Virtqueue): boolean {
    const { readable } = queue;
    let skip = this.#transmitted;
    for (let index = 0; index < readable.count; index++) {
      let bytes = readable.bytes(index);
      if (skip >= bytes.length) {
        skip -= bytes.length;
        continue;
      }
      bytes = bytes.subarray(skip);
      skip = 0;
      const written = this.#output.write(bytes);
      this.#transmitted += written;
      if (written < bytes.length) {
        this.#room.start();
        return false;
      }
    }
    this.#transmitted = 0;
    queue.push(queue.head, 0);
    return true;
  }

  /** Serves a request of the receive queue; false when there is no input for it yet. */
  receive(queue: Virtqueue): boolean {
    const input = this.#input;
    if (!input || input.available === 0) {
      if (input?.closed === false) this.#data?.start();
      return false;
    }
    const written = queue.writable.scatter(input.peek());
    input.consume(written);
    queue.push(queue.head, written);
    return true;
  }
}
