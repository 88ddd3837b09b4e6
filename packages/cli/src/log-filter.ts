import { UsageError } from './errors.ts';
import { nearestName } from './nearest.ts';

/** The levels from the least to the most talkative. */
export const LOG_LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** How important a message is; `off` is for filters only. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Decides which messages are shown, from text such as `warn,devices=debug,devices::serial=off`: a level for
 * everything and levels for parts, of which the longest that fits counts.
 */
export class LogFilter {
  readonly #everything: LogLevel;
  readonly #parts: ReadonlyMap<string, LogLevel>;

  private constructor(everything: LogLevel, parts: ReadonlyMap<string, LogLevel>) {
    this.#everything = everything;
    this.#parts = parts;
  }

  /** @throws {UsageError} if a level does not exist */
  static parse(text: string): LogFilter {
    let everything: LogLevel = 'info';
    const parts = new Map<string, LogLevel>();
    for (const item of text.split(',')) {
      const equals = item.lastIndexOf('=');
      if (equals < 0) {
        everything = parseLevel(item);
      } else {
        const part = item.slice(0, equals).trim();
        if (part === '')
          throw new UsageError('INVALID_VALUE', `--log-level: a part is missing before ${quote(item)}`);
        parts.set(part, parseLevel(item.slice(equals + 1)));
      }
    }
    return new LogFilter(everything, parts);
  }

  /** Whether a message of `level` from `target`, such as `devices::serial`, is shown. */
  allows(level: LogLevel, target: string): boolean {
    let limit = this.#everything;
    let length = 0;
    for (const [part, partLimit] of this.#parts) {
      const fits =
        target === part || (target.startsWith(part) && /^(::|[/.:])/.test(target.slice(part.length)));
      if (fits && part.length > length) {
        limit = partLimit;
        length = part.length;
      }
    }
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(limit);
  }
}

function parseLevel(text: string): LogLevel {
  const wanted = text.trim().toLowerCase();
  const level = LOG_LEVELS.find((candidate) => candidate === wanted);
  if (level !== undefined) return level;
  const nearest = nearestName(wanted, LOG_LEVELS);
  const advice = nearest === undefined ? `there are ${LOG_LEVELS.join(', ')}` : `did you mean ${nearest}?`;
  throw new UsageError('INVALID_VALUE', `--log-level: there is no level ${quote(text)}; ${advice}`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
