/**
 * Orders requests of one disk: many that share, or one alone, in the order in which they ask. Taking a lock that is free
 * makes no promise.
 */
export class AsyncLock {
  readonly #waiting: { readonly isExclusive: boolean; readonly grant: () => void }[] = [];
  #sharers = 0;
  #isExclusive = false;

  acquireShared(): Promise<void> | undefined {
    if (this.#isExclusive || this.#waiting.length > 0) return this.#wait(false);
    this.#sharers++;
    return undefined;
  }

  releaseShared(): void {
    this.#sharers--;
    if (this.#waiting.length > 0) this.#grant();
  }

  acquireExclusive(): Promise<void> | undefined {
    if (this.#isExclusive || this.#sharers > 0 || this.#waiting.length > 0) return this.#wait(true);
    this.#isExclusive = true;
    return undefined;
  }

  releaseExclusive(): void {
    this.#isExclusive = false;
    if (this.#waiting.length > 0) this.#grant();
  }

  #wait(isExclusive: boolean): Promise<void> {
    return new Promise((grant) => this.#waiting.push({ isExclusive, grant }));
  }

  #grant(): void {
    for (let next = this.#waiting[0]; next && !this.#isExclusive; next = this.#waiting[0]) {
      if (next.isExclusive && this.#sharers > 0) return;
      this.#waiting.shift();
      if (next.isExclusive) this.#isExclusive = true;
      else this.#sharers++;
      next.grant();
    }
  }
}
