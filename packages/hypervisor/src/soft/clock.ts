import { TIMEBASE_FREQUENCY } from './timebase.ts';

/** Words at the start of the shared state; then for each hart its deadline, a double, and how often it was set. */
const State = { changes: 0, sleeping: 1, ended: 2 } as const;
const HEADER_SIZE = 16;
const HART_SIZE = 16;
const SETTINGS_OFFSET = 8;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * The deadlines of a machine's timers, shared between the harts that set them and the clock thread that raises them. A hart
 * that computes does not look at the time: the clock thread tells it.
 */
export class Deadlines {
  static stateSize(harts: number): number {
    return HEADER_SIZE + harts * HART_SIZE;
  }

  readonly #harts: number;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  /** The settings whose expiry was reported, on the clock's thread. */
  readonly #reported: Int32Array;

  /** @param state {@link stateSize} bytes; {@link clear} brings new ones to the state after reset */
  constructor(state: SharedArrayBuffer) {
    this.#harts = (state.byteLength - HEADER_SIZE) / HART_SIZE;
    this.#words = new Int32Array(state);
    this.#doubles = new Float64Array(state);
    this.#reported = new Int32Array(this.#harts);
  }

  /** No hart has a deadline. */
  clear(): void {
    for (let hart = 0; hart < this.#harts; hart++) {
      this.#doubles[deadlineIndex(hart)] = NEVER;
    }
  }

  /**
   * Sets a hart's deadline in ticks; Infinity is none. Called by the hart's thread. A deadline that is set again is reported
   * again, also when it is the same.
   */
  set(hart: number, ticks: number): void {
    this.#doubles[deadlineIndex(hart)] = ticks;
    Atomics.add(this.#words, settingsIndex(hart), 1);
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
    for (let hart = 0; hart < this.#harts; hart++) {
      // Read before the deadline, and written after it: a deadline set meanwhile is looked at again.
      const settings = Atomics.load(this.#words, settingsIndex(hart));
      const deadline = this.#doubles[deadlineIndex(hart)] ?? NEVER;
      if (deadline > time) {
        earliest = Math.min(earliest, deadline);
      } else if (this.#reported[hart] !== settings) {
        this.#reported[hart] = settings;
        reported = true;
        expired(hart);
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

function deadlineIndex(hart: number): number {
  return (HEADER_SIZE + hart * HART_SIZE) / 8;
}

function settingsIndex(hart: number): number {
  return (HEADER_SIZE + hart * HART_SIZE + SETTINGS_OFFSET) / 4;
}
