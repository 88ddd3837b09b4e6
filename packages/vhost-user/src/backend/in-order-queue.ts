import type { Virtqueue } from '@tsvmm/devices';
import { ForwardingQueue } from './forwarding-queue.ts';

/**
 * A queue whose requests are given back in the order in which they were taken, whatever order they end in. Whoever takes
 * over from this back end, or from this process after it died, then knows by the used index what is done: what is not, is
 * done again.
 */
export class InOrderQueue extends ForwardingQueue<Virtqueue> {
  /** Requests that were taken, the oldest first. */
  readonly #taken: number[] = [];
  /** What was written to those of them that have ended. */
  readonly #ended = new Map<number, number>();

  pop(): boolean {
    if (!this.queue.pop()) return false;
    this.#taken.push(this.queue.head);
    return true;
  }

  undoPop(): void {
    this.#taken.pop();
    this.queue.undoPop();
  }

  protected giveBack(head: number, written: number): void {
    this.#ended.set(head, written);
    for (let oldest = this.#taken[0]; oldest !== undefined; oldest = this.#taken[0]) {
      const length = this.#ended.get(oldest);
      if (length === undefined) return;
      this.#taken.shift();
      this.#ended.delete(oldest);
      this.queue.push(oldest, length);
    }
  }
}
