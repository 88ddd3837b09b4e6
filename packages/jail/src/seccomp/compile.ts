import { JailError } from '../errors.ts';
import { BpfAssembler, type Label, MAXIMUM_INSTRUCTIONS } from './bpf.ts';
import type { Action, Comparison, Policy, Rule } from './policy.ts';
import { type JailArchitecture, SYSTEM_CALLS } from './system-calls.ts';

/** AUDIT_ARCH_* of <linux/audit.h>. */
const AUDIT_ARCH: Readonly<Record<JailArchitecture, number>> = {
  x86_64: 0xc000003e,
  aarch64: 0xc00000b7,
  riscv64: 0xc00000f3,
};

/** `struct seccomp_data` of <linux/seccomp.h>: offsets of its fields. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const argumentLow = (argument: number) => 16 + argument * 8;
const argumentHigh = (argument: number) => argumentLow(argument) + 4;

/** Set in the number of a system call that is made through x86's x32 ABI. */
const X32_SYSCALL_BIT = 0x40000000;

/** SECCOMP_RET_* of <linux/seccomp.h>. */
const RETURN = {
  kill: 0x80000000,
  trap: 0x00030000,
  errno: 0x00050000,
  notify: 0x7fc00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
} as const;

export interface CompileOptions {
  readonly architecture: JailArchitecture;
  /**
   * Asks the supervisor (SECCOMP_RET_USER_NOTIF) where the policy says kill: it can then say which call it was. Without a
   * supervisor such a call fails with ENOSYS.
   */
  readonly notify: boolean;
}

/**
 * Compiles a policy to the program that seccomp(SECCOMP_SET_MODE_FILTER) takes: an array of `struct sock_filter`. The call's
 * number is found by binary search; calls of another ABI are killed.
 *
 * @throws JailError BAD_POLICY when it names a system call that no architecture has, or is too long
 */
export function compilePolicy(policy: Policy, { architecture, notify }: CompileOptions): Uint8Array {
  const returned = (action: Action): number => {
    if (action.kind === 'return') return RETURN.errno | action.errno;
    return action.kind === 'kill' && notify ? RETURN.notify : RETURN[action.kind];
  };
  const rules = numberedRules(policy, architecture);
  const assembler = new BpfAssembler();
  const known = assembler.label();
  const foreign = assembler.label();
  const fallback = assembler.label();
  const search = assembler.label();

  assembler.load(ARCHITECTURE);
  assembler.branch('==', AUDIT_ARCH[architecture], known, foreign);
  assembler.place(known);
  assembler.load(NUMBER);
  if (architecture === 'x86_64') assembler.branch('>=', X32_SYSCALL_BIT, foreign, search);
  assembler.place(search);
  const bodies = rules.map(({ number, rule }) => ({ number, rule, label: assembler.label() }));
  writeSearch(assembler, bodies, fallback);
  for (const { rule, label } of bodies) {
    assembler.place(label);
    writeRule(assembler, rule, returned, policy.defaultAction);
  }
  assembler.place(fallback);
  assembler.finish(returned(policy.defaultAction));
  assembler.place(foreign);
  assembler.finish(RETURN.kill);

  const program = assembler.assemble();
  if (program.length / 8 > MAXIMUM_INSTRUCTIONS) {
    throw new JailError(
      'BAD_POLICY',
      `the policy becomes ${program.length / 8} instructions, and the kernel takes ${MAXIMUM_INSTRUCTIONS}`,
    );
  }
  return program;
}

function numberedRules(policy: Policy, architecture: JailArchitecture) {
  const numbers = SYSTEM_CALLS[architecture];
  const rules: { readonly number: number; readonly rule: Rule }[] = [];
  for (const [name, rule] of policy.rules) {
    const number = numbers.get(name);
    if (number !== undefined) {
      rules.push({ number, rule });
    } else if (!Object.values(SYSTEM_CALLS).some((others) => others.has(name))) {
      throw new JailError('BAD_POLICY', `there is no system call ${name}`);
    }
  }
  return rules.sort((a, b) => a.number - b.number);
}

interface Body {
  readonly number: number;
  readonly label: Label;
}

/** The accumulator holds the number; `bodies` are in its order. */
function writeSearch(assembler: BpfAssembler, bodies: readonly Body[], fallback: Label): void {
  const [first, second] = bodies;
  if (first === undefined) {
    // A branch whose two targets are the same is the jump that the assembler has.
    assembler.branch('>=', 0, fallback, fallback);
  } else if (second === undefined) {
    assembler.branch('==', first.number, first.label, fallback);
  } else {
    const middle = bodies.length >> 1;
    const upper = assembler.label();
    const lower = assembler.label();
    assembler.branch('>=', bodies[middle]?.number ?? 0, upper, lower);
    assembler.place(lower);
    writeSearch(assembler, bodies.slice(0, middle), fallback);
    assembler.place(upper);
    writeSearch(assembler, bodies.slice(middle), fallback);
  }
}

function writeRule(
  assembler: BpfAssembler,
  { alternatives, action, otherwise }: Rule,
  returned: (action: Action) => number,
  defaultAction: Action,
): void {
  if (alternatives.length === 0) {
    assembler.finish(returned(action));
    return;
  }
  const holds = assembler.label();
  for (const alternative of alternatives) {
    const next = assembler.label();
    for (const [index, comparison] of alternative.entries()) {
      const following = index === alternative.length - 1 ? holds : assembler.label();
      writeComparison(assembler, comparison, following, next);
      if (following !== holds) assembler.place(following);
    }
    assembler.place(next);
  }
  assembler.finish(returned(otherwise ?? defaultAction));
  assembler.place(holds);
  assembler.finish(returned(action));
}

/** Arguments have 64 bits and the accumulator 32: the halves are compared one after the other. */
function writeComparison(
  assembler: BpfAssembler,
  { argument, operator, value }: Comparison,
  yes: Label,
  no: Label,
): void {
  const high = Number(value >> 32n);
  const low = Number(value & 0xffffffffn);
  switch (operator) {
    case '!=':
      writeComparison(assembler, { argument, operator: '==', value }, no, yes);
      return;
    case '<':
      writeComparison(assembler, { argument, operator: '>=', value }, no, yes);
      return;
    case '<=':
      writeComparison(assembler, { argument, operator: '>', value }, no, yes);
      return;
    case '==': {
      const lows = assembler.label();
      assembler.load(argumentHigh(argument));
      assembler.branch('==', high, lows, no);
      assembler.place(lows);
      assembler.load(argumentLow(argument));
      assembler.branch('==', low, yes, no);
      return;
    }
    case '>':
    case '>=': {
      const notAbove = assembler.label();
      const lows = assembler.label();
      assembler.load(argumentHigh(argument));
      assembler.branch('>', high, yes, notAbove);
      assembler.place(notAbove);
      assembler.branch('==', high, lows, no);
      assembler.place(lows);
      assembler.load(argumentLow(argument));
      assembler.branch(operator, low, yes, no);
      return;
    }
    case '&': {
      const lows = assembler.label();
      assembler.load(argumentHigh(argument));
      assembler.branch('&', high, yes, lows);
      assembler.place(lows);
      assembler.load(argumentLow(argument));
      assembler.branch('&', low, yes, no);
      return;
    }
    case 'in': {
      const lows = assembler.label();
      assembler.load(argumentHigh(argument));
      assembler.branch('&', ~high >>> 0, no, lows);
      assembler.place(lows);
      assembler.load(argumentLow(argument));
      assembler.branch('&', ~low >>> 0, no, yes);
      return;
    }
  }
}
