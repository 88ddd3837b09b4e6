export type { CommandContext } from './commands/definition.ts';
export { UsageError, type UsageErrorCode } from './errors.ts';
export { ExitStatus } from './exit-status.ts';
export { main } from './main.ts';
export { type CommandLine, type GivenOption, parseCommandLine } from './parse.ts';
