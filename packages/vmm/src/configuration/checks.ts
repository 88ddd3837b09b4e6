import type { ConfigurationOption } from './configuration.ts';
import { ConfigurationError } from './error.ts';

/**
 * At most one of the items is so.
 *
 * @throws ConfigurationError DUPLICATE, for the second
 */
export function checkOneOf<T>(
  option: ConfigurationOption,
  items: readonly T[],
  is: (item: T) => boolean,
  message: string,
): void {
  const first = items.findIndex(is);
  const index = first < 0 ? -1 : items.findIndex((item, at) => at > first && is(item));
  if (index >= 0) throw new ConfigurationError('DUPLICATE', option, message, { index });
}

/** For callers whose configuration is not type-checked, such as a JSON file. */
export function checkWord<T extends string>(
  option: ConfigurationOption,
  word: T,
  words: readonly T[],
  what: string,
  index?: number,
): T {
  if (!words.includes(word)) {
    throw new ConfigurationError(
      'INVALID_VALUE',
      option,
      `${what} is one of ${words.join(', ')}, not ${quote(word)}`,
      index === undefined ? {} : { index },
    );
  }
  return word;
}

/**
 * A path is a text that a system call can take. Nothing is opened.
 *
 * @param need what the option needs, as the message says it
 * @throws ConfigurationError INVALID_VALUE
 */
export function checkPath(option: ConfigurationOption, path: string, need: string, index?: number): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new ConfigurationError('INVALID_VALUE', option, need, index === undefined ? {} : { index });
  }
  return path;
}

/** As messages show a value. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
