import { MachineError } from './errors.ts';

/** The kernel's command line: words with one space between, printable ASCII, of bounded length. */
export class KernelCommandLine {
  readonly #maximumLength: number;
  readonly #words: string[] = [];
  #length = 0;

  /** @param maximumLength characters, without the terminating NUL */
  constructor(maximumLength: number) {
    this.#maximumLength = maximumLength;
  }

  /**
   * Appends text as it is; it may be several words.
   *
   * @throws MachineError COMMAND_LINE for characters that are not printable ASCII, and when it gets too long
   */
  append(text: string): this {
    const bad = /[^\x20-\x7e]/.exec(text);
    if (bad !== null) {
      const code = text.codePointAt(bad.index) ?? 0;
      throw new MachineError(
        'COMMAND_LINE',
        `kernel parameter ${JSON.stringify(text)} has the character U+${code.toString(16).padStart(4, '0')} at position ${bad.index}: only printable ASCII can be passed`,
      );
    }
    if (text === '') {
      return this;
    }
    const length = this.#length + text.length + (this.#words.length > 0 ? 1 : 0);
    if (length > this.#maximumLength) {
      throw new MachineError(
        'COMMAND_LINE',
        `the kernel command line would be ${length} characters long, and the guest takes ${this.#maximumLength}: pass fewer or shorter parameters`,
      );
    }
    this.#words.push(text);
    this.#length = length;
    return this;
  }

  /**
   * Appends `key=value`.
   *
   * @throws MachineError COMMAND_LINE when the key has spaces or `=`, or the value has spaces
   */
  insert(key: string, value: string): this {
    if (key === '' || /[ =]/.test(key) || / /.test(value)) {
      throw new MachineError(
        'COMMAND_LINE',
        `${JSON.stringify(`${key}=${value}`)} is not one kernel parameter: no spaces, and no '=' in its name`,
      );
    }
    return this.append(`${key}=${value}`);
  }

  toString(): string {
    return this.#words.join(' ');
  }
}
