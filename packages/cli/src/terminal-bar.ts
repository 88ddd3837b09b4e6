import { isatty } from 'node:tty';
import { writeFully } from './output.ts';

const BAR_COLUMNS = 30;

/** A line at the bottom of the terminal that is written again and again. Where there is no terminal, nothing is. */
export class TerminalBar implements Disposable {
  /** Standard error is a terminal that can go back on a line. */
  readonly isTerminal = isatty(2) && process.env.TERM !== 'dumb';
  #shown = '';

  /** Shows how much is done, from 0 to 1, and what is. */
  show(fraction: number, text: string): void {
    if (!this.isTerminal) return;
    // A terminal that does not tell its width says 0.
    const columns = process.stderr.columns || 80;
    const line = `${bar(fraction)} ${text}`.slice(0, Math.max(10, columns - 1));
    if (line === this.#shown) return;
    this.#shown = line;
    writeFully(2, `\r\x1b[K${line}`);
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    if (this.#shown !== '') writeFully(2, '\r\x1b[K');
    this.#shown = '';
  }
}

/** A fraction from 0 to 1 as a bar. */
export function bar(fraction: number): string {
  const done = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_COLUMNS);
  return `[${'#'.repeat(done)}${'.'.repeat(BAR_COLUMNS - done)}]`;
}
