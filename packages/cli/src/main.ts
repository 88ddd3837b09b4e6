import type { CommandContext } from './commands/definition.ts';
import { UsageError } from './errors.ts';
import { ExitStatus } from './exit-status.ts';
import { LogFilter } from './log-filter.ts';
import { Messages } from './messages.ts';
import { print } from './output.ts';
import { type CommandLine, parseCommandLine } from './parse.ts';

/**
 * Runs the command line and returns the exit status. What goes wrong is told on standard error; nothing is thrown.
 * Modules are loaded as a command needs them, so that help comes at once.
 */
export async function main(args: readonly string[]): Promise<number> {
  const messages = new Messages();
  try {
    const line = parseCommandLine(args);
    const context = applyGlobalOptions(line, messages);
    if (line.help) {
      const { helpFor } = await import('./help.ts');
      print(helpFor(line.command?.name.split(' ') ?? line.family));
      return ExitStatus.success;
    }
    // A command that is not built was refused by the parser.
    const handler = await line.command?.load?.();
    return handler === undefined ? ExitStatus.failure : await handler(context);
  } catch (error) {
    return tell(error, messages);
  }
}

function applyGlobalOptions(line: CommandLine, messages: Messages): CommandContext {
  const last = (name: string) => line.options.findLast(({ definition }) => definition.name === name);
  const level = last('log-level')?.value;
  if (level !== undefined) messages.filter = LogFilter.parse(level);
  for (const warning of line.warnings) messages.warn(warning);
  return {
    line,
    messages,
    extendedStatus: last('extended-status') !== undefined,
    syslogTag: last('no-syslog') === undefined ? (last('syslog-tag')?.value ?? 'tsvmm') : undefined,
  };
}

function tell(error: unknown, messages: Messages): number {
  messages.error(error instanceof Error ? error.message : String(error));
  messages.debugStack(error);
  return error instanceof UsageError ? ExitStatus.invalidArguments : ExitStatus.failure;
}
