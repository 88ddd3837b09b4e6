import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Action,
  type Comparison,
  compilePolicy,
  type Policy,
  parsePolicy,
  type Rule,
  SYSTEM_CALLS,
} from '../src/index.ts';
import { runFilter, seccompData } from './bpf-machine.ts';

/** AUDIT_ARCH_X86_64 and _AARCH64 of <linux/audit.h>; SECCOMP_RET_* of <linux/seccomp.h>. */
const X86_64 = 0xc000003e;
const AARCH64 = 0xc00000b7;
const KILL = 0x80000000;
const VALUES: Readonly<Record<Exclude<Action['kind'], 'return'>, number>> = {
  kill: KILL,
  trap: 0x00030000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
};

const value = fc.oneof(
  fc.constantFrom(0n, 1n, 0xffffffffn, 0x100000000n, 2n ** 64n - 1n),
  fc.bigInt(0n, 2n ** 64n - 1n),
);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.constantFrom<Action>({ kind: 'allow' }, { kind: 'kill' }, { kind: 'log' }, { kind: 'trap' }),
  fc.integer({ min: 0, max: 4095 }).map((errno): Action => ({ kind: 'return', errno })),
);
const comparison: fc.Arbitrary<Comparison> = fc.record({
  argument: fc.integer({ min: 0, max: 5 }),
  operator: fc.constantFrom('==', '!=', '<', '<=', '>', '>=', '&', 'in'),
  value,
});
const rule: fc.Arbitrary<Rule> = fc.record({
  alternatives: fc.array(fc.array(comparison, { minLength: 1, maxLength: 3 }), { maxLength: 4 }),
  action,
});
const names = [...SYSTEM_CALLS.x86_64.keys()];
const policy: fc.Arbitrary<Policy> = fc.record({
  rules: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...names), rule), { selector: ([name]) => name, maxLength: 60 })
    .map((rules) => new Map(rules)),
  defaultAction: action,
});

const OPERATORS: Readonly<Record<Comparison['operator'], (a: bigint, b: bigint) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '&': (a, b) => (a & b) !== 0n,
  in: (a, b) => (a & ~b) === 0n,
};

function decide({ rules, defaultAction }: Policy, name: string, values: readonly bigint[]): number {
  const found = rules.get(name);
  const holds =
    found !== undefined &&
    (found.alternatives.length === 0 ||
      found.alternatives.some((all) =>
        all.every(({ argument, operator, value: b }) => OPERATORS[operator](values[argument] ?? 0n, b)),
      ));
  const taken = holds ? found.action : defaultAction;
  return taken.kind === 'return' ? 0x00050000 | taken.errno : VALUES[taken.kind];
}

describe('a filter', () => {
  test('decides as its policy reads', () => {
    fc.assert(
      fc.property(
        policy,
        fc.array(fc.tuple(fc.constantFrom(...names), fc.array(value, { minLength: 6, maxLength: 6 })), {
          minLength: 20,
        }),
        (rules, calls) => {
          const program = compilePolicy(rules, { architecture: 'x86_64', notify: false });
          for (const [name, values] of calls) {
            const data = seccompData(SYSTEM_CALLS.x86_64.get(name) ?? -1, X86_64, values);
            expect(runFilter(program, data)).toBe(decide(rules, name, values));
          }
        },
      ),
    );
  });

  test('of all system calls, with arguments, stays within reach of its jumps', () => {
    const text = names.map((name) => `${name}: arg0 == 1`).join('\n');
    const rules = parsePolicy(text, 'all', () => '');
    const program = compilePolicy(rules, { architecture: 'x86_64', notify: false });
    for (const [name, number] of SYSTEM_CALLS.x86_64) {
      for (const values of [[1n], [0n, 1n], [0n, 2n ** 40n]]) {
        expect(runFilter(program, seccompData(number, X86_64, values)), name).toBe(
          decide(rules, name, values),
        );
      }
    }
  });

  test('kills calls of other ABIs', () => {
    const program = compilePolicy(
      { rules: new Map(), defaultAction: { kind: 'allow' } },
      { architecture: 'x86_64', notify: true },
    );
    expect(runFilter(program, seccompData(0, X86_64, []))).toBe(VALUES.allow);
    expect(runFilter(program, seccompData(0x40000000, X86_64, []))).toBe(KILL);
    expect(runFilter(program, seccompData(0, AARCH64, []))).toBe(KILL);
  });

  test('asks the supervisor instead of killing', () => {
    const rules = parsePolicy('ptrace: kill', 'test', () => '');
    const program = compilePolicy(rules, { architecture: 'aarch64', notify: true });
    expect(runFilter(program, seccompData(SYSTEM_CALLS.aarch64.get('ptrace') ?? -1, AARCH64, []))).toBe(
      0x7fc00000,
    );
  });

  test('leaves out calls that its architecture does not have, and refuses those that none has', () => {
    const options = { architecture: 'riscv64', notify: false } as const;
    expect(() =>
      compilePolicy(
        parsePolicy('open: 1', 'test', () => ''),
        options,
      ),
    ).not.toThrow();
    expect(() =>
      compilePolicy(
        parsePolicy('opne: 1', 'test', () => ''),
        options,
      ),
    ).toThrow('there is no system call opne');
  });

  test('that is too long for the kernel is refused', () => {
    const one = Array.from({ length: 60 }, (_, n) => `arg0 == ${n}`).join(' || ');
    const rules = parsePolicy(names.map((name) => `${name}: ${one}`).join('\n'), 'test', () => '');
    expect(() => compilePolicy(rules, { architecture: 'x86_64', notify: false })).toThrow(
      'the kernel takes 4096',
    );
  });
});
