/** Waits for something once at a time, however often it is asked to: what a guest does without an end must not add up. */
export class SingleWait {
  readonly #wait: () => Promise<void>;
  readonly #then: () => void;
  #isWaiting = false;

  /**
   * @param wait resolves when it has come
   * @param then what follows
   */
  constructor(wait: () => Promise<void>, then: () => void) {
    this.#wait = wait;
    this.#then = then;
  }

  /** Waits, unless it does already. */
  start(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    void this.#wait().then(() => {
      this.#isWaiting = false;
      this.#then();
    });
  }
}
