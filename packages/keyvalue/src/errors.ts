/** What is wrong with the text, for code that reacts to it. */
export type KeyValueErrorCode =
  | 'EXPECTED_IDENTIFIER'
  | 'EXPECTED_EQUAL'
  | 'EXPECTED_SEPARATOR'
  | 'EXPECTED_OPEN_BRACKET'
  | 'EXPECTED_CLOSE_BRACKET'
  | 'EXPECTED_STRING'
  | 'EXPECTED_BOOLEAN'
  | 'UNTERMINATED_STRING'
  | 'INVALID_CHARACTER'
  | 'BAD_ESCAPE'
  | 'BAD_NUMBER'
  | 'OUT_OF_RANGE'
  | 'BAD_VALUE'
  | 'WRONG_LENGTH'
  | 'UNKNOWN_FIELD'
  | 'DUPLICATE_FIELD'
  | 'MISSING_FIELD'
  | 'UNKNOWN_VARIANT'
  | 'TRAILING_CHARACTERS';

/** Columns of text shown around the caret. */
const WINDOW = 72;

/** Text that is not what its schema describes. */
export class KeyValueError extends Error {
  override readonly name = 'KeyValueError';
  readonly code: KeyValueErrorCode;
  /** Where in the text, in UTF-16 code units from 0; the text's length when it ended too early. */
  readonly position: number;
  /** How many code units the problem covers; 0 between two characters or at the end. */
  readonly length: number;
  /** What is wrong, without the position. */
  readonly problem: string;
  /** Dotted path of the field, such as `displays.0.mode`; empty outside of fields. */
  readonly field: string;

  constructor(code: KeyValueErrorCode, problem: string, position: number, length = 0, field = '') {
    super(`${problem} at position ${position}`);
    this.code = code;
    this.problem = problem;
    this.position = position;
    this.length = length;
    this.field = field;
  }

  /** The same error, seen from the structure that has the field. */
  within(name: string): KeyValueError {
    const field = this.field === '' ? name : `${name}.${this.field}`;
    return new KeyValueError(this.code, this.problem, this.position, this.length, field);
  }

  /**
   * Three lines for a terminal: the text, carets under the problem, and the problem in words.
   * Text much longer than a line is cut to the neighbourhood of the problem.
   */
  pretty(text: string): string {
    const start = text.length <= WINDOW ? 0 : Math.max(0, this.position - WINDOW / 2);
    const end = Math.min(text.length, start + WINDOW);
    const before = start > 0 ? '…' : '';
    const after = end < text.length ? '…' : '';
    // A control character would move the cursor and with it the caret.
    const shown = text.slice(start, end).replace(/\p{Cc}/gu, '·');
    const column = before.length + this.position - start;
    const carets = '^'.repeat(Math.max(1, Math.min(this.length, end - this.position)));
    return `${before}${shown}${after}\n${' '.repeat(column)}${carets}\n${this.problem}`;
  }
}
