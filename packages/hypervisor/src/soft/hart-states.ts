import { HartState } from './sbi.ts';

/** Words of one hart: state, start address (low, high), opaque value (low, high), event counter. */
const WORDS = 8;
const EVENTS = 5;

/**
 * What the hart state management extension (RISC-V SBI 2.0, chapter 9) knows of each hart, shared by all threads of the
 * machine. A stopped hart's thread sleeps in {@link waitForEvent}.
 */
export class HartStates {
  static stateSize(harts: number): number {
    return harts * WORDS * 4;
  }

  readonly #words: Int32Array;

  /** @param state {@link stateSize} bytes; {@link stopAll} brings new ones to the state after reset */
  constructor(state: SharedArrayBuffer) {
    this.#words = new Int32Array(state);
  }

  /** All harts are stopped, as after reset. */
  stopAll(): void {
    for (let index = 0; index < this.#words.length; index += WORDS) {
      Atomics.store(this.#words, index, HartState.stopped);
    }
  }

  get(hart: number): number {
    return Atomics.load(this.#words, hart * WORDS);
  }

  set(hart: number, state: number): void {
    Atomics.store(this.#words, hart * WORDS, state);
    this.wake(hart);
  }

  /** @returns false when the hart is not stopped */
  start(hart: number, address: number, opaqueLow: number, opaqueHigh: number): boolean {
    const index = hart * WORDS;
    const { stopped, startPending, stopPending } = HartState;
    // stopPending is taken as a lock: the hart sleeps until the words below are written.
    if (Atomics.compareExchange(this.#words, index, stopped, stopPending) !== stopped) {
      return false;
    }
    this.#words[index + 1] = address >>> 0;
    this.#words[index + 2] = Math.floor(address / 2 ** 32);
    this.#words[index + 3] = opaqueLow;
    this.#words[index + 4] = opaqueHigh;
    this.set(hart, startPending);
    return true;
  }

  /**
   * Takes a pending start, and makes the hart started.
   *
   * @returns undefined when there is none
   */
  takeStart(hart: number): { address: number; opaqueLow: number; opaqueHigh: number } | undefined {
    const index = hart * WORDS;
    const { startPending, started } = HartState;
    if (Atomics.compareExchange(this.#words, index, startPending, started) !== startPending) {
      return undefined;
    }
    const word = (offset: number) => (this.#words[index + offset] ?? 0) >>> 0;
    return {
      address: word(2) * 2 ** 32 + word(1),
      opaqueLow: word(3),
      opaqueHigh: word(4),
    };
  }

  /** Number of events of the hart so far: read it, look at what the events are about, then wait for the next. */
  events(hart: number): number {
    return Atomics.load(this.#words, hart * WORDS + EVENTS);
  }

  /** Sleeps until the hart has had more than `seen` events. */
  waitForEvent(hart: number, seen: number): void {
    Atomics.wait(this.#words, hart * WORDS + EVENTS, seen);
  }

  /** Counts an event, and wakes the hart. */
  wake(hart: number): void {
    Atomics.add(this.#words, hart * WORDS + EVENTS, 1);
    Atomics.notify(this.#words, hart * WORDS + EVENTS);
  }
}
