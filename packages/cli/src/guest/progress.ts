import { isatty } from 'node:tty';
import type { FetchProgress } from '@tsvmm/guest-image';
import { writeFully } from '../output.ts';

const BAR_COLUMNS = 30;
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
  readonly #terminal = isatty(2) && process.env.TERM !== 'dumb';
  #shown = '';

  /** Shows where the work is. */
  show(progress: FetchProgress): void {
    if (this.#terminal) this.#showBar(progress);
    else this.#showLine(progress);
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    if (this.#terminal && this.#shown !== '') writeFully(2, '\r\x1b[K');
    this.#shown = '';
  }

  #showBar(progress: FetchProgress): void {
    const columns = process.stderr.columns ?? 80;
    const line = progressLine(progress).slice(0, Math.max(10, columns - 1));
    if (line === this.#shown) return;
    this.#shown = line;
    writeFully(2, `\r\x1b[K${line}`);
  }

  #showLine({ phase, fraction, total }: FetchProgress): void {
    const tenth = phase === 'download' ? ` ${Math.floor(fraction * 10) * 10} %` : '';
    const line = `${PHASES[phase]}${tenth}${total === undefined ? '' : ` of ${mib(total)}`}`;
    if (line === this.#shown) return;
    this.#shown = line;
    writeFully(2, `tsvmm: ${line}\n`);
  }
}

/** One line with a bar. */
export function progressLine({ phase, fraction, bytes, total }: FetchProgress): string {
  const done = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_COLUMNS);
  const bar = `[${'#'.repeat(done)}${'.'.repeat(BAR_COLUMNS - done)}]`;
  const amount = bytes === undefined || total === undefined ? '' : ` ${mib(bytes)} of ${mib(total)}`;
  return `${bar} ${PHASES[phase]}${amount}`;
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
