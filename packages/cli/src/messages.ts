import { LogFilter, type LogLevel } from './log-filter.ts';
import { writeFully } from './output.ts';

/** Where messages also go besides standard error. */
export interface MessageSink {
  write(level: LogLevel, text: string): void;
}

const COLOURS: Readonly<Partial<Record<LogLevel, number>>> = { error: 31, warn: 33, debug: 2, trace: 2 };
const LABELS: Readonly<Partial<Record<LogLevel, string>>> = { warn: 'warning: ' };

/** What tsvmm itself has to say: one line a message on standard error, in colour on a terminal. */
export class Messages {
  filter = LogFilter.parse('info');
  /** The machine's name, for people who run several. */
  machine: string | undefined;
  /** A second place for messages, such as the system log. */
  sink: MessageSink | undefined;
  #colours: boolean | undefined;

  /** Reports one thing from one part of the program; what the filter hides is dropped. */
  report(level: Exclude<LogLevel, 'off'>, text: string, target = 'tsvmm'): void {
    if (!this.filter.allows(level, target)) return;
    this.sink?.write(level, text);
    const machine = this.machine === undefined ? '' : ` (${this.machine})`;
    const label = `${target}${machine}: ${LABELS[level] ?? ''}`;
    writeFully(2, `${this.#colour(label, COLOURS[level])}${printable(text)}\n`);
  }

  /** Something failed. */
  error(text: string): void {
    this.report('error', text);
  }

  /** Something is not as it should be. */
  warn(text: string): void {
    this.report('warn', text);
  }

  /** Something worth knowing. */
  info(text: string): void {
    this.report('info', text);
  }

  /** The stack of an error, for people who look for its origin. */
  debugStack(error: unknown): void {
    if (error instanceof Error && error.stack !== undefined) {
      this.report('debug', error.stack);
      if (error.cause !== undefined) this.debugStack(error.cause);
    }
  }

  #colour(text: string, colour: number | undefined): string {
    if (colour === undefined) return text;
    this.#colours ??= process.stderr.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
    return this.#colours ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }
}

/** Text with its control characters made visible, so that a file's name or a guest cannot steer the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
