import type { Segments, Virtqueue } from '@tsvmm/devices';
import type { ServedQueue } from './ring.ts';

/** A queue in front of another one, which can be cut off from it. */
export abstract class ForwardingQueue<Q extends Virtqueue> implements ServedQueue {
  readonly index: number;
  readonly readable: Segments;
  readonly writable: Segments;
  protected readonly queue: Q;
  #isClosed = false;

  constructor(queue: Q) {
    this.queue = queue;
    this.index = queue.index;
    this.readable = queue.readable;
    this.writable = queue.writable;
  }

  abstract pop(): boolean;
  abstract undoPop(): void;

  /** As {@link Virtqueue.push}, of a queue that is still ours. */
  protected abstract giveBack(head: number, written: number): void;

  get head(): number {
    return this.queue.head;
  }

  push(head: number, written: number): void {
    if (!this.#isClosed) this.giveBack(head, written);
  }

  needsInterrupt(): boolean {
    return this.queue.needsInterrupt();
  }

  disableNotifications(): void {
    this.queue.disableNotifications();
  }

  enableNotifications(): boolean {
    return this.queue.enableNotifications();
  }

  /** Nothing is written to the ring any more: it belongs to somebody else. */
  close(): void {
    this.#isClosed = true;
  }
}
