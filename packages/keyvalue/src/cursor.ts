import { KeyValueError, type KeyValueErrorCode } from './errors.ts';

/** A piece of the text and where it was. */
export interface Token<T> {
  readonly value: T;
  readonly position: number;
  /** Code units of text it was written with, quotes included. */
  readonly length: number;
}

const IDENTIFIER = /[A-Za-z0-9_][A-Za-z0-9_-]*/y;
const NUMBER = /(-?)(0x|0o|0b)?([A-Za-z0-9]+)/y;
const DIGITS = { '': /^[0-9]+$/, '0x': /^[0-9A-Fa-f]+$/, '0o': /^[0-7]+$/, '0b': /^[01]+$/ };

/** Reads the tokens of the grammar, front to back. */
export class Cursor {
  readonly text: string;
  /** What stands between two fields or elements: ',', or ':' for the few options that use it. */
  readonly separator: string;
  position = 0;
  readonly #unquoted: RegExp;

  constructor(text: string, separator: ',' | ':' = ',') {
    this.text = text;
    this.separator = separator;
    this.#unquoted = separator === ',' ? /[^,[\]"']+/y : /[^:[\]"']+/y;
  }

  error(code: KeyValueErrorCode, problem: string, position = this.position, length = 0): KeyValueError {
    return new KeyValueError(code, problem, position, length);
  }

  /** The next character, or '' at the end. */
  peek(): string {
    return this.text.charAt(this.position);
  }

  /** Whether a value or a bare key can end here. */
  atSeparator(): boolean {
    const next = this.peek();
    return next === '' || next === ']' || next === this.separator;
  }

  /** Whether the innermost bracket, or the text, ends here. */
  atEnd(): boolean {
    const next = this.peek();
    return next === '' || next === ']';
  }

  skip(character: string): boolean {
    if (this.peek() !== character) return false;
    this.position++;
    return true;
  }

  open(): void {
    if (!this.skip('[')) throw this.error('EXPECTED_OPEN_BRACKET', "expected '['");
  }

  close(): void {
    if (!this.skip(']')) throw this.error('EXPECTED_CLOSE_BRACKET', "expected ']'");
  }

  /** Passes the separator after a value; a closing bracket or the end of the text serve as well. */
  separate(): void {
    if (!this.skip(this.separator) && !this.atEnd()) {
      throw this.error('EXPECTED_SEPARATOR', `expected '${this.separator}'`);
    }
  }

  /** The identifier here, without passing it. */
  peekIdentifier(): string | undefined {
    return this.#match(IDENTIFIER)?.[0];
  }

  identifier(): Token<string> {
    const value = this.peekIdentifier();
    if (value === undefined) throw this.error('EXPECTED_IDENTIFIER', 'expected an identifier');
    return this.#take(value, value.length);
  }

  boolean(): Token<boolean> {
    const word = this.peekIdentifier();
    if (word !== 'true' && word !== 'false') {
      throw this.error('EXPECTED_BOOLEAN', "expected 'true' or 'false'", this.position, word?.length);
    }
    return this.#take(word === 'true', word.length);
  }

  /** A whole number of any size: decimal, or after 0x, 0o or 0b. */
  integer(): Token<bigint> {
    const match = this.#match(NUMBER);
    const [whole = '', sign, prefix = '', digits = ''] = match ?? [];
    const end = this.text.charAt(this.position + whole.length);
    const isDelimited = end === '' || end === ']' || end === this.separator;
    // More digits than any 128-bit number has: BigInt() would take quadratic time to say the same.
    if (!isDelimited || digits.length > 130 || !DIGITS[prefix as keyof typeof DIGITS].test(digits)) {
      throw this.error('BAD_NUMBER', 'expected a whole number', this.position, whole.length);
    }
    const magnitude = BigInt(prefix + digits);
    return this.#take(sign === '-' ? -magnitude : magnitude, whole.length);
  }

  /** A string in double quotes (with `\"` and `\\`), in single quotes (without escapes), or in none. */
  string(): Token<string> {
    const quote = this.peek();
    const token = quote === '"' ? this.#escaped() : quote === "'" ? this.#literal() : this.#plain();
    if (!this.atSeparator()) {
      const problem = 'a string with quotes or brackets inside must be in quotes as a whole';
      throw this.error('INVALID_CHARACTER', problem, this.position, 1);
    }
    return token;
  }

  #plain(): Token<string> {
    const value = this.#match(this.#unquoted)?.[0];
    if (value === undefined) throw this.error('EXPECTED_STRING', 'expected a string');
    return this.#take(value, value.length);
  }

  #literal(): Token<string> {
    const end = this.text.indexOf("'", this.position + 1);
    if (end < 0) throw this.#unterminated();
    return this.#take(this.text.slice(this.position + 1, end), end + 1 - this.position);
  }

  #escaped(): Token<string> {
    const parts: string[] = [];
    for (let at = this.position + 1; ; ) {
      const stop = /["\\]/g;
      stop.lastIndex = at;
      const found = stop.exec(this.text)?.index;
      if (found === undefined) throw this.#unterminated();
      parts.push(this.text.slice(at, found));
      if (this.text[found] === '"') return this.#take(parts.join(''), found + 1 - this.position);
      const escaped = this.text.charAt(found + 1);
      if (escaped !== '"' && escaped !== '\\') {
        throw this.error('BAD_ESCAPE', 'a backslash can only stand before " and \\', found, 1);
      }
      parts.push(escaped);
      at = found + 2;
    }
  }

  #unterminated(): KeyValueError {
    return this.error('UNTERMINATED_STRING', 'this quote is never closed', this.position, 1);
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.position;
    return pattern.exec(this.text);
  }

  #take<T>(value: T, length: number): Token<T> {
    const { position } = this;
    this.position += length;
    return { value, position, length };
  }
}
