import type { Availability, OptionDefinition } from '../options/definition.ts';

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
}
