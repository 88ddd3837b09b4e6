import { constants } from 'node:os';

/** A system call that a policy does not allow. */
export interface BlockedCall {
  /** The system call's name, or its number in words. */
  readonly name: string;
  /** As unsigned numbers; beyond 2^53 they are rounded. */
  readonly arguments: readonly number[];
}

/** How a process ended. */
export type JailExit =
  | { readonly kind: 'exited'; readonly status: number; readonly output: string }
  | {
      readonly kind: 'killed';
      /** The signal's name. */
      readonly signal: string;
      /** What it tried to do; there when that is why it was killed. */
      readonly blocked?: BlockedCall;
      readonly output: string;
    };

/** One sentence, without the full stop, that says how the process called `name` ended. */
export function describeExit(name: string, exit: JailExit): string {
  const said = exit.output === '' ? '' : `; it said: ${exit.output}`;
  if (exit.kind === 'exited') return `the process of ${name} ended with status ${exit.status}${said}`;
  const { blocked, signal } = exit;
  if (blocked === undefined) return `the process of ${name} was killed by ${signal}${said}`;
  return `the process of ${name} was killed by ${signal}: it made the system call ${blocked.name}(${blocked.arguments
    .map((argument) => (argument > 9 ? `0x${argument.toString(16)}` : argument))
    .join(', ')}), which its policy does not allow${said}`;
}

/** `SIGKILL` for 9. */
export function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
