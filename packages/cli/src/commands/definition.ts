import type { Messages } from '../messages.ts';
import type { Availability, OptionDefinition } from '../options/definition.ts';
import type { CommandLine } from '../parse.ts';

/** One command of the command line; `guest fetch` is one too. */
export interface CommandDefinition {
  /** Its words, separated by spaces. */
  readonly name: string;
  /** What stands for its operands in the usage line. */
  readonly operands: string;
  /** How many operands it takes. */
  readonly minOperands: number;
  readonly maxOperands: number;
  /** One sentence without a full stop, for the list of commands. */
  readonly summary: string;
  /** Paragraphs for its own help. */
  readonly description: readonly string[];
  /** Lines that can be typed as they are. */
  readonly examples: readonly string[];
  /** Its options besides the global ones. */
  readonly options: readonly OptionDefinition[];
  readonly availability: Availability;
  /** Loads what carries it out, which help and the parser do without; undefined for a command that is not built. */
  readonly load?: () => Promise<CommandHandler>;
}

/** A command that works. */
export interface BuiltCommand extends CommandDefinition {
  readonly load: () => Promise<CommandHandler>;
}

/** Carries out a command. @returns the exit status */
export type CommandHandler = (context: CommandContext) => Promise<number>;

/** What a command needs besides its own options. */
export interface CommandContext {
  readonly line: CommandLine;
  readonly messages: Messages;
  /** Tell apart by the exit status how a guest ended. */
  readonly extendedStatus: boolean;
  /** The name of this process in the system log; undefined if it is not to be used. */
  readonly syslogTag: string | undefined;
}
