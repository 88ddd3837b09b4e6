import type { Sandbox } from '@tsvmm/device-process';
import { UsageError } from '../errors.ts';
import type { GivenOption } from '../parse.ts';

/** What the options of isolation make of the sandbox, each on top of those before it; `false` is none. */
export function sandboxValue(
  before: Sandbox | false,
  { definition, spelling, value = '' }: GivenOption,
): Sandbox | false {
  if (definition.name === 'disable-sandbox' || before === false) return false;
  switch (definition.name) {
    case 'pivot-root':
      return { ...before, root: directory(spelling, value) };
    case 'seccomp-policy-dir':
      return { ...before, policyDirectory: directory(spelling, value) };
    case 'seccomp-log-failures':
      return { ...before, logFailures: true };
    default:
      return before;
  }
}

function directory(spelling: string, value: string): string {
  if (value === '') throw new UsageError('INVALID_VALUE', `${spelling} needs the path of a directory`);
  return value;
}
