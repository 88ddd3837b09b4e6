import type { FetchProgress } from '@tsvmm/guest-image';
import { writeFully } from '../output.ts';
import { TerminalBar } from '../terminal-bar.ts';

const MIB = 1024 * 1024;

const PHASES: Readonly<Record<FetchProgress['phase'], string>> = {
  wait: 'waiting for another process that makes the same guest',
  index: 'reading the list of packages',
  download: 'downloading packages',
  unpack: 'unpacking packages',
  pack: 'packing the initrd',
};

/** Shows the making of a guest on standard error: a bar on a terminal, otherwise a line per phase and tenth. */
export class ProgressDisplay implements Disposable {
  readonly #bar = new TerminalBar();
  #shown = '';

  /** Shows where the work is. */
  show(progress: FetchProgress): void {
    const { phase, fraction, bytes, total } = progress;
    if (!this.#bar.isTerminal) {
      this.#showLine(progress);
      return;
    }
    const amount = bytes === undefined || total === undefined ? '' : ` ${mib(bytes)} of ${mib(total)}`;
    this.#bar.show(fraction, PHASES[phase] + amount);
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    this.#bar[Symbol.dispose]();
  }

  #showLine({ phase, fraction, total }: FetchProgress): void {
    const tenth = phase === 'download' ? ` ${Math.floor(fraction * 10) * 10} %` : '';
    const line = `${PHASES[phase]}${tenth}${total === undefined ? '' : ` of ${mib(total)}`}`;
    if (line === this.#shown) return;
    this.#shown = line;
    writeFully(2, `tsvmm: ${line}\n`);
  }
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
