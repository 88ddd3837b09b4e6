import type { SplitQueue } from '@tsvmm/devices';
import { ForwardingQueue } from './forwarding-queue.ts';
import type { InflightQueueRecord } from './inflight-record.ts';

/**
 * A queue that notes each request while it is under way, so that whoever takes over from this process after it died does
 * those again and no others. Requests may be given back in any order.
 */
export class TrackedQueue extends ForwardingQueue<SplitQueue> {
  readonly #record: InflightQueueRecord;
  /** Heads of the requests that the process before this one had taken, the next one last. */
  readonly #again: number[];
  /** Whether the request that was popped last is one of these. */
  #isAgain = false;

  /**
   * @param again from {@link InflightQueueRecord.resume}; the queue's own position is behind them
   */
  constructor(queue: SplitQueue, record: InflightQueueRecord, again: readonly number[]) {
    super(queue);
    this.#record = record;
    this.#again = again.toReversed();
  }

  pop(): boolean {
    const again = this.#again.pop();
    this.#isAgain = again !== undefined;
    if (again !== undefined) this.queue.retake(again);
    else if (!this.queue.pop()) return false;
    this.#record.take(this.queue.head);
    return true;
  }

  /** A request that is put back has no notification to come: who puts it back wakes the queue. */
  undoPop(): void {
    const { head } = this.queue;
    if (this.#isAgain) {
      this.#again.push(head);
    } else {
      this.#record.leave(head);
      this.queue.undoPop();
    }
  }

  protected giveBack(head: number, written: number): void {
    this.#record.beforeUse(head);
    this.queue.push(head, written);
    this.#record.afterUse(head, this.queue.usedIndex);
  }
}
