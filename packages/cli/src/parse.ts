import type { CommandDefinition } from './commands/definition.ts';
import { COMMANDS } from './commands/table.ts';
import { UsageError } from './errors.ts';
import { nearestName } from './nearest.ts';
import type { OptionDefinition } from './options/definition.ts';
import { GLOBAL_OPTIONS } from './options/global.ts';

/** An option as it was given. */
export interface GivenOption {
  readonly definition: OptionDefinition;
  /** How it was spelt, with its dashes. */
  readonly spelling: string;
  /** Undefined for a switch. */
  readonly value: string | undefined;
}

/** A command line taken apart. */
export interface CommandLine {
  /** Undefined if only help is asked for. */
  readonly command: CommandDefinition | undefined;
  /** The words of a command that is not complete, with `help`. */
  readonly family: readonly string[];
  /** Everything given, global options included, in order. */
  readonly options: readonly GivenOption[];
  readonly operands: readonly string[];
  /** --help was given; nothing after it was looked at. */
  readonly help: boolean;
  /** Words of advice for standard error. */
  readonly warnings: readonly string[];
}

/**
 * Takes a command line apart after crosvm's rules: `--name value` or `--name=value`, `-n value` or `-n=value`, `-` and
 * `-1G` are operands, and after `--` everything is one. Global options may stand before and after the command.
 *
 * @throws {UsageError} if it cannot be followed
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  return new Parser(args).parse();
}

class Parser {
  readonly #args: readonly string[];
  #next = 0;
  /** The words of the command so far; a command is complete when they are the whole of its name. */
  #words: readonly string[] = [];
  #command: CommandDefinition | undefined;
  readonly #options: GivenOption[] = [];
  readonly #operands: string[] = [];
  readonly #warnings: string[] = [];

  constructor(args: readonly string[]) {
    this.#args = args;
  }

  parse(): CommandLine {
    let onlyOperands = false;
    while (this.#next < this.#args.length) {
      const arg = this.#args[this.#next++] ?? '';
      if (!onlyOperands && arg === '--') onlyOperands = true;
      else if (onlyOperands || !isOption(arg)) this.#word(arg);
      else if (this.#option(arg)) return this.#result(true);
    }
    return this.#result(false);
  }

  #result(help: boolean): CommandLine {
    const command = this.#command;
    if (!help) {
      if (command === undefined) throw this.#incomplete();
      if (this.#operands.length < command.minOperands) {
        throw new UsageError('MISSING_ARGUMENT', `${command.name} needs ${command.operands}`);
      }
    }
    return {
      command,
      family: this.#words,
      options: this.#options,
      operands: this.#operands,
      help,
      warnings: this.#warnings,
    };
  }

  #word(word: string): void {
    if (this.#command === undefined) {
      this.#commandWord(word);
      return;
    }
    if (this.#operands.length >= this.#command.maxOperands) {
      const { name, operands, maxOperands } = this.#command;
      const takes = maxOperands === 0 ? 'takes no operands' : `takes ${operands} only`;
      throw new UsageError('UNEXPECTED_ARGUMENT', `${name} ${takes}; remove ${quote(word)}`);
    }
    this.#operands.push(word);
  }

  #commandWord(word: string): void {
    const words = [...this.#words, word];
    const name = words.join(' ');
    const command = COMMANDS.find((candidate) => candidate.name === name);
    if (command === undefined) {
      if (!COMMANDS.some((candidate) => candidate.name.startsWith(`${name} `)))
        throw this.#unknownCommand(word);
      this.#words = words;
      return;
    }
    if (command.availability.kind === 'not-built') {
      throw new UsageError(
        'NOT_BUILT',
        `the command ${name} is not built yet. ${command.availability.instead}`,
      );
    }
    this.#command = command;
  }

  #unknownCommand(word: string): UsageError {
    const prefix = this.#words.map((before) => `${before} `).join('');
    const candidates = COMMANDS.filter(({ name }) => name.startsWith(prefix)).map(
      ({ name }) => name.slice(prefix.length).split(' ')[0] ?? '',
    );
    const nearest = nearestName(word, candidates);
    const advice =
      nearest === undefined ? 'tsvmm --help lists the commands' : `did you mean ${prefix}${nearest}?`;
    return new UsageError('UNKNOWN_COMMAND', `there is no command ${quote(prefix + word)}; ${advice}`);
  }

  #incomplete(): UsageError {
    if (this.#words.length === 0) {
      return new UsageError(
        'MISSING_ARGUMENT',
        'a command is missing; tsvmm run boots a guest, tsvmm --help lists all',
      );
    }
    const prefix = `${this.#words.join(' ')} `;
    const names = COMMANDS.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name);
    return new UsageError('MISSING_ARGUMENT', `the command is incomplete; there are ${names.join(', ')}`);
  }

  /** Takes one option with its value; returns true if it asks for help. */
  #option(arg: string): boolean {
    const equals = arg.indexOf('=');
    const spelling = equals < 0 ? arg : arg.slice(0, equals);
    const inline = equals < 0 ? undefined : arg.slice(equals + 1);
    const definition = this.#find(spelling);
    if (definition === undefined) throw this.#unknownOption(spelling, inline);
    const { availability } = definition;
    if (availability.kind === 'not-built') throw this.#notBuilt(spelling, availability.instead);
    if (definition.value === undefined && inline !== undefined) {
      throw new UsageError('UNEXPECTED_VALUE', `${spelling} takes no value; write it without "=${inline}"`);
    }
    if (definition.name === 'help') return true;
    if (availability.kind === 'deprecated') {
      this.#warnings.push(`${spelling} is an old spelling; write ${availability.use}`);
    }
    const again = definition.repeatable !== true && definition.value !== undefined;
    if (again && this.#options.some((given) => given.definition === definition)) {
      throw new UsageError('DUPLICATE_OPTION', `--${definition.name} is given twice; remove one of them`);
    }
    const value = definition.value === undefined ? undefined : (inline ?? this.#value(definition, spelling));
    this.#options.push({ definition, spelling, value });
    return false;
  }

  #value(definition: OptionDefinition, spelling: string): string {
    const value = this.#args[this.#next];
    const form = `${spelling} ${definition.value}`;
    if (value === undefined) {
      throw new UsageError('MISSING_VALUE', `${spelling} needs a value: ${form}`);
    }
    // A forgotten value would otherwise swallow the option after it.
    if (value.startsWith('--') && this.#find(value.split('=', 1)[0] ?? '') !== undefined) {
      throw new UsageError(
        'MISSING_VALUE',
        `${spelling} needs a value before ${value}: ${form}; if ${value} is the value, write ${spelling}=${value}`,
      );
    }
    this.#next++;
    return value;
  }

  #available(): readonly OptionDefinition[] {
    // Before the command only global options make sense, but the others deserve the better message.
    return this.#command === undefined ? GLOBAL_OPTIONS : [...this.#command.options, ...GLOBAL_OPTIONS];
  }

  #find(spelling: string): OptionDefinition | undefined {
    if (spelling === '--host_ip') {
      this.#warnings.push('--host_ip is an old spelling; write --host-ip');
      return this.#find('--host-ip');
    }
    return this.#available().find(({ name, short }) => spelling === `--${name}` || spelling === `-${short}`);
  }

  #unknownOption(spelling: string, inline: string | undefined): UsageError {
    const fail = (advice: string) =>
      new UsageError('UNKNOWN_OPTION', `there is no option ${spelling}; ${advice}`);
    if (this.#command === undefined) {
      const command = COMMANDS.find(({ options }) =>
        options.some(({ name, short }) => spelling === `--${name}` || spelling === `-${short}`),
      );
      if (command !== undefined) {
        return new UsageError(
          'UNKNOWN_OPTION',
          `${spelling} belongs after the command: tsvmm ${command.name} ${spelling}`,
        );
      }
    }
    const available = this.#available();
    const glued = /^-([a-z])(.+)$/.exec(spelling);
    const name = spelling.replace(/^-+/, '');
    const nearest = nearestName(
      name,
      available.map((option) => option.name),
    );
    if (glued !== null) {
      const option = available.find(({ short }) => short === glued[1]);
      if (option?.value !== undefined && option.name !== nearest) {
        const value = inline === undefined ? glued[2] : `${glued[2]}=${inline}`;
        return fail(`write -${option.short} ${value}`);
      }
    }
    if (nearest !== undefined) return fail(`did you mean --${nearest}?`);
    const help = this.#command === undefined ? 'tsvmm --help' : `tsvmm ${this.#command.name} --help`;
    return fail(`${help} lists the options`);
  }

  #notBuilt(spelling: string, instead: string): UsageError {
    const others = new Set<string>();
    for (const arg of this.#args.slice(this.#next)) {
      const other = arg.startsWith('--') ? this.#find(arg.split('=', 1)[0] ?? '') : undefined;
      if (other?.availability.kind === 'not-built' && `--${other.name}` !== spelling)
        others.add(`--${other.name}`);
    }
    const also = others.size === 0 ? '' : `\nalso not built yet: ${[...others].join(', ')}`;
    return new UsageError('NOT_BUILT', `${spelling} is not built yet. ${instead}${also}`);
  }
}

/** `-` stands for a stream and `-1G` for a difference: no option's name starts with a digit. */
function isOption(arg: string): boolean {
  return /^-[^0-9]/.test(arg);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
