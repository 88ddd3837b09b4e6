import type { AtomicWaitCell } from './atomic.ts';

const FREE = 0;
const LOCKED = 1;
/** Locked, and somebody may be asleep waiting for it. */
const CONTENDED = 2;

/**
 * A mutual exclusion lock in shared memory, such as one for the registers of a device. Not recursive. Without contention it
 * costs one atomic exchange each way; a waiter sleeps.
 */
export class SharedMutex {
  readonly #word: AtomicWaitCell;

  /** @param word a cell that is zero when nobody holds the lock, as fresh memory is */
  constructor(word: AtomicWaitCell) {
    this.#word = word;
  }

  lock(): void {
    if (this.#word.compareExchange(FREE, LOCKED) === FREE) return;
    while (this.#word.exchange(CONTENDED) !== FREE) this.#word.wait(CONTENDED);
  }

  unlock(): void {
    if (this.#word.exchange(FREE) === CONTENDED) this.#word.notify(1);
  }
}
