import { TIMEBASE_FREQUENCY } from './timebase.ts';

/** Words at the start of the shared state, then a double for each hart. */
const State = { changes: 0, sleeping: 1, ended: 2 } as const;
const HEADER_SIZE = 16;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * The deadlines of a machine's timers, shared between the harts that set them and the clock thread that raises them. A hart
 * that computes does not look at the time: the clock thread tells it.
 */
export class Deadlines {
  static stateSize(harts: number): number {
    return HEADER_SIZE + harts * 8;
  }

  readonly #words: Int32Array;
  /** Ticks of `time`. */
  readonly #deadlines: Float64Array;
  /** The deadlines that were reported, on the clock's thread. */
  readonly #expired: Float64Array;

  /** @param state {@link stateSize} bytes; {@link clear} brings new ones to the state after reset */
  constructor(state: SharedArrayBuffer) {
    this.#words = new Int32Array(state, 0, HEADER_SIZE / 4);
    this.#deadlines = new Float64Array(state, HEADER_SIZE);
    this.#expired = new Float64Array(this.#deadlines.length).fill(NEVER);
  }

  /** No hart has a deadline. */
  clear(): void {
    this.#deadlines.fill(NEVER);
  }

  /** Sets a hart's deadline in ticks; Infinity is none. Called by the hart's thread. */
  set(hart: number, ticks: number): void {
    this.#deadlines[hart] = ticks;
    this.#changed();
  }

  /** Ends {@link wait} for good. */
  end(): void {
    Atomics.store(this.#words, State.ended, 1);
    this.#changed();
  }

  /**
   * Sleeps until a deadline may have passed, or calls `expired` for each hart whose deadline did and returns at once.
   *
   * @param now ticks of `time`
   * @returns false after {@link end}
   */
  wait(now: () => number, expired: (hart: number) => void): boolean {
    const seen = Atomics.load(this.#words, State.changes);
    let earliest = NEVER;
    let reported = false;
    const time = now();
    for (let hart = 0; hart < this.#deadlines.length; hart++) {
      const deadline = this.#deadlines[hart] ?? NEVER;
      if (deadline <= time) {
        // Only harts write deadlines: one set meanwhile must not be lost.
        if (this.#expired[hart] !== deadline) {
          this.#expired[hart] = deadline;
          reported = true;
          expired(hart);
        }
      } else {
        earliest = Math.min(earliest, deadline);
      }
    }
    if (Atomics.load(this.#words, State.ended) !== 0) {
      return false;
    }
    const milliseconds = ((earliest - now()) * 1000) / TIMEBASE_FREQUENCY;
    if (!reported && milliseconds > 0) {
      Atomics.store(this.#words, State.sleeping, 1);
      Atomics.wait(this.#words, State.changes, seen, milliseconds);
      Atomics.store(this.#words, State.sleeping, 0);
    }
    return true;
  }

  #changed(): void {
    Atomics.add(this.#words, State.changes, 1);
    if (Atomics.load(this.#words, State.sleeping) !== 0) {
      Atomics.notify(this.#words, State.changes);
    }
  }
}
