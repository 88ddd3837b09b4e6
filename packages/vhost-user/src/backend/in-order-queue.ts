import type { Segments, Virtqueue } from '@tsvmm/devices';
import type { ServedQueue } from './ring.ts';

/**
 * A queue whose requests are given back in the order in which they were taken, whatever order they end in. Whoever takes
 * over from this back end, or from this process after it died, then knows by the used index what is done: what is not, is
 * done again.
 */
export class InOrderQueue implements ServedQueue {
  readonly index: number;
  readonly readable: Segments;
  readonly writable: Segments;
  readonly #queue: Virtqueue;
  /** Requests that were taken, the oldest first. */
  readonly #taken: number[] = [];
  /** What was written to those of them that have ended. */
  readonly #ended = new Map<number, number>();
  #isClosed = false;

  constructor(queue: Virtqueue) {
    this.#queue = queue;
    this.index = queue.index;
    this.readable = queue.readable;
    this.writable = queue.writable;
  }

  get head(): number {
    return this.#queue.head;
  }

  pop(): boolean {
    if (!this.#queue.pop()) return false;
    this.#taken.push(this.#queue.head);
    return true;
  }

  undoPop(): void {
    this.#taken.pop();
    this.#queue.undoPop();
  }

  push(head: number, written: number): void {
    if (this.#isClosed) return;
    this.#ended.set(head, written);
    for (let oldest = this.#taken[0]; oldest !== undefined; oldest = this.#taken[0]) {
      const length = this.#ended.get(oldest);
      if (length === undefined) return;
      this.#taken.shift();
      this.#ended.delete(oldest);
      this.#queue.push(oldest, length);
    }
  }

  needsInterrupt(): boolean {
    return this.#queue.needsInterrupt();
  }

  disableNotifications(): void {
    this.#queue.disableNotifications();
  }

  enableNotifications(): boolean {
    return this.#queue.enableNotifications();
  }

  /** Nothing is written to the ring any more: it belongs to somebody else. */
  close(): void {
    this.#isClosed = true;
  }
}
