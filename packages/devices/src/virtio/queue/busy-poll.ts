/** Longest time without work that is spent looking for it, milliseconds. It is what QEMU takes for its I/O threads. */
const LONGEST_WINDOW = 0.032;
const SHORTEST_WINDOW = 0.004;
/** Longest time that the event loop's other work has to wait, milliseconds. */
const LONGEST_TURN = 1;

/** What is looked at again and again. */
export interface Polled {
  /** Does the work that is there, and calls {@link BusyPoll.worked} if there was some. */
  look(): void;
  /** Nobody looks any more: has itself be woken when there is work, and does what has come meanwhile. */
  rest(): void;
}

/**
 * Looks for work a while before its thread sleeps, where that has shown to pay off: then neither does the driver have to leave
 * its guest to say that there is some, nor does the kernel have to wake anybody. What looking starts goes on between two looks:
 * these are jobs of the microtask queue.
 */
export class BusyPoll {
  readonly #polled: Polled;
  /** How long to look, milliseconds: adapted to how soon work follows work. */
  #window = 0;
  #lastWork = Number.NEGATIVE_INFINITY;
  #turnBegan = 0;
  #isLooking = false;

  constructor(polled: Polled) {
    this.#polled = polled;
  }

  /** Whether more work is looked for now. Otherwise notifications have to be asked for. */
  get isLooking(): boolean {
    return this.#isLooking;
  }

  /** There is work, or was just now. */
  worked(): void {
    const now = performance.now();
    if (!this.#isLooking) {
      this.#adapt(now - this.#lastWork);
      this.#isLooking = this.#window > 0;
      if (this.#isLooking) {
        this.#turnBegan = now;
        queueMicrotask(this.#next);
      }
    }
    this.#lastWork = now;
  }

  /** @param pause how long there was no work until the thread was woken, milliseconds */
  #adapt(pause: number): void {
    if (pause > LONGEST_WINDOW) this.#window = 0;
    else if (pause > this.#window) {
      this.#window = Math.min(LONGEST_WINDOW, Math.max(SHORTEST_WINDOW, 2 * this.#window));
    }
  }

  readonly #next = (): void => {
    this.#polled.look();
    const now = performance.now();
    if (now - this.#lastWork > this.#window) {
      this.#isLooking = false;
      this.#polled.rest();
    } else if (now - this.#turnBegan > LONGEST_TURN) {
      this.#turnBegan = now;
      setImmediate(this.#next);
    } else {
      queueMicrotask(this.#next);
    }
  };
}
