import { KeyValueError, parse, type Schema } from '@tsvmm/keyvalue';
import { UsageError } from './errors.ts';

/**
 * Reads what was given to an option or operand.
 * @param spelling how the option was spelt, for the message
 * @throws {UsageError} that shows below the text what is wrong with it, and where
 */
export function readValue<T>(spelling: string, text: string, schema: Schema<T>): T {
  try {
    return parse(schema, text);
  } catch (error) {
    throw error instanceof KeyValueError ? valueError(spelling, text, error) : error;
  }
}

/** A value that is wrong, shown with the place at which it is. */
export function valueError(spelling: string, text: string, error: KeyValueError): UsageError {
  const shown = error.pretty(text).split('\n');
  const picture = shown.slice(0, 2).map((line) => `\n  ${line}`);
  return new UsageError('INVALID_VALUE', `${spelling}: ${error.problem}${picture.join('')}`, {
    cause: error,
  });
}
