/** Says on the error output what is done; on a terminal in one line that is written over. */
export class Progress implements Disposable {
  readonly #isTerminal = process.stderr.isTTY;
  #step = '';

  report(step: string, fraction: number): void {
    if (this.#isTerminal) {
      process.stderr.write(`\r\u001b[Kkvm-lab: ${step} (${Math.floor(fraction * 100)} %)`);
    } else if (step !== this.#step) {
      process.stderr.write(`kvm-lab: ${step}\n`);
    }
    this.#step = step;
  }

  /** Leaves the line to others. */
  [Symbol.dispose](): void {
    if (this.#isTerminal && this.#step !== '') process.stderr.write('\r\u001b[K');
    this.#step = '';
  }
}
