import { type JailArchitecture, type Policy, type Rule, SYSTEM_CALLS } from '@tsvmm/jail';
import { expect, test } from 'vitest';
import { DEVICE_POLICIES, devicePolicy } from '../src/index.ts';

type Kind = keyof typeof DEVICE_POLICIES;
const KINDS = Object.keys(DEVICE_POLICIES).toSorted() as Kind[];
const ARCHITECTURES = Object.keys(SYSTEM_CALLS) as JailArchitecture[];

const isAllowed = ({ action }: Rule) => action.kind === 'allow';
const isConditional = ({ alternatives }: Rule) => alternatives.length > 0;

/** The system calls that a policy allows and an architecture has; those that depend on arguments in italics. */
function allowed({ rules }: Policy, architecture: JailArchitecture): string {
  const names = [...rules].filter(([name, rule]) => isAllowed(rule) && SYSTEM_CALLS[architecture].has(name));
  return names
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, rule]) => (isConditional(rule) ? `_${name}_` : name))
    .join(', ');
}

test('POLICIES.md lists the system calls in force', async () => {
  // Devices with the same needs share a policy.
  const policies = new Map(KINDS.map((kind) => [DEVICE_POLICIES[kind], kind] as const));
  const sections = [...policies].map(([name, kind]) => {
    const policy = devicePolicy(kind);
    const lines = ARCHITECTURES.map(
      (architecture) => `- **${architecture}:** ${allowed(policy, architecture)}`,
    );
    return `## ${name}\n\n${lines.join('\n')}\n`;
  });
  await expect(
    [
      '# System calls of device processes\n',
      'What each device may do once its jail is closed, by architecture; calls in italics only with the arguments that the policy\n' +
        'names. All others end the process, or fail with an errno where the policy says so.\n',
      ...sections,
    ].join('\n'),
  ).toMatchFileSnapshot('../POLICIES.md');
});

test.each(KINDS)('%s may not reach beyond what it has', (kind) => {
  const { rules, defaultAction } = devicePolicy(kind);
  expect(defaultAction.kind).toBe('kill');
  for (const name of [
    'open',
    'openat',
    'openat2',
    'socket',
    'connect',
    'accept4',
    'execve',
    'ptrace',
    'kill',
    'memfd_create',
  ]) {
    expect(rules.get(name)?.action.kind, name).not.toBe('allow');
  }
});
