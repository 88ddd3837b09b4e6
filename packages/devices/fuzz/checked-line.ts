import type { InterruptLine } from '../src/index.ts';

/** An interrupt line whose driver says only what is new. */
export class CheckedLine implements InterruptLine {
  #level = false;

  set(level: boolean): void {
    if (level === this.#level) throw new Error(`an interrupt line becomes ${level}, which it is`);
    this.#level = level;
  }
}
