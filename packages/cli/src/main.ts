import { UsageError } from './errors.ts';
import { ExitStatus } from './exit-status.ts';
import { LogFilter } from './log-filter.ts';
import { Messages } from './messages.ts';
import { print } from './output.ts';
import type { CommandLine } from './parse.ts';
import { parseCommandLine } from './parse.ts';

/** What a command needs besides its own options. */
export interface CommandContext {
  readonly line: CommandLine;
  readonly messages: Messages;
  /** Tell apart by the exit status how a guest ended. */
  readonly extendedStatus: boolean;
  /** The name of this process in the system log; undefined if it is not to be used. */
  readonly syslogTag: string | undefined;
}

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
    return await dispatch(context);
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

async function dispatch(context: CommandContext): Promise<number> {
  switch (context.line.command?.name) {
    case 'run':
      return (await import('./run/run.ts')).run(context);
    case 'guest fetch':
      return (await import('./guest/commands.ts')).fetch(context);
    case 'guest list':
      return (await import('./guest/commands.ts')).list(context);
    case 'guest rm':
      return (await import('./guest/commands.ts')).remove(context);
    case 'version':
      print(`tsvmm ${await version()}\n`);
      return ExitStatus.success;
    default:
      print((await import('./help.ts')).helpFor(context.line.operands));
      return ExitStatus.success;
  }
}

/** The version of this package. */
async function version(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  return String(manifest.version);
}

function tell(error: unknown, messages: Messages): number {
  messages.error(error instanceof Error ? error.message : String(error));
  messages.debugStack(error);
  return error instanceof UsageError ? ExitStatus.invalidArguments : ExitStatus.failure;
}
