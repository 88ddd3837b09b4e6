import { native } from './native.ts';

/** Whether the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return native.isTerminal(fd);
}

/** The size of a terminal's window; a terminal that does not know has zeros. */
export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
  readonly pixelWidth: number;
  readonly pixelHeight: number;
}

/** @throws {SystemError} ENOTTY when it is no terminal */
export function windowSize(fd: number): WindowSize {
  const size = new Int32Array(4);
  native.windowSize(fd, size);
  const [columns = 0, rows = 0, pixelWidth = 0, pixelHeight = 0] = size;
  return { columns, rows, pixelWidth, pixelHeight };
}

/**
 * A terminal in raw mode: each byte typed arrives at once and unchanged, and nothing is echoed. Output processing stays
 * as it was, so that messages printed meanwhile begin at the left margin.
 *
 * Disposing restores the terminal; so does the end of the process by exit or by a signal it can catch. After SIGKILL
 * the terminal stays raw until the shell, or `stty sane`, puts it right.
 */
export class RawMode implements Disposable {
  #slot: number;

  /**
   * @param options.keepSignals the interrupt, quit and suspend characters (Ctrl-C, Ctrl-\, Ctrl-Z) still send signals
   * @throws {SystemError} ENOTTY when it is no terminal, EBUSY when it is in raw mode already
   */
  constructor(fd: number, options: { readonly keepSignals?: boolean } = {}) {
    this.#slot = native.enterRawMode(fd, options.keepSignals ?? false);
  }

  [Symbol.dispose](): void {
    if (this.#slot < 0) return;
    const slot = this.#slot;
    this.#slot = -1;
    native.leaveRawMode(slot);
  }
}
