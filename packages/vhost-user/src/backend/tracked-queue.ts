import type { Segments, SplitQueue } from '@tsvmm/devices';
import type { InflightQueueRecord } from './inflight-record.ts';
import type { ServedQueue } from './ring.ts';

/**
 * A queue that notes each request while it is under way, so that whoever takes over from this process after it died does
 * those again and no others. Requests may be given back in any order.
 */
export class TrackedQueue implements ServedQueue {
  readonly index: number;
  readonly readable: Segments;
  readonly writable: Segments;
  readonly #queue: SplitQueue;
  readonly #record: InflightQueueRecord;
  /** Heads of the requests that the process before this one had taken, the next one last. */
  readonly #again: number[];
  /** Whether the request that was popped last is one of these. */
  #isAgain = false;
  #isClosed = false;

  /**
   * @param again from {@link InflightQueueRecord.resume}; the queue's own position is behind them
   */
  constructor(queue: SplitQueue, record: InflightQueueRecord, again: readonly number[]) {
    this.#queue = queue;
    this.#record = record;
    this.#again = again.toReversed();
    this.index = queue.index;
    this.readable = queue.readable;
    this.writable = queue.writable;
  }

  get head(): number {
    return this.#queue.head;
  }

  pop(): boolean {
    const again = this.#again.pop();
    this.#isAgain = again !== undefined;
    if (again !== undefined) this.#queue.retake(again);
    else if (!this.#queue.pop()) return false;
    this.#record.take(this.#queue.head);
    return true;
  }

  undoPop(): void {
    const { head } = this.#queue;
    if (this.#isAgain) {
      this.#again.push(head);
    } else {
      this.#record.leave(head);
      this.#queue.undoPop();
    }
  }

  push(head: number, written: number): void {
    if (this.#isClosed) return;
    this.#record.beforeUse(head);
    this.#queue.push(head, written);
    this.#record.afterUse(head, this.#queue.usedIndex);
  }

  needsInterrupt(): boolean {
    return this.#queue.needsInterrupt();
  }

  disableNotifications(): void {
    this.#queue.disableNotifications();
  }

  enableNotifications(): boolean {
    // A request that was put back for later has no notification to come: who put it back wakes the queue.
    return this.#queue.enableNotifications();
  }

  /** Nothing is written to the ring any more: it belongs to somebody else. */
  close(): void {
    this.#isClosed = true;
  }
}
