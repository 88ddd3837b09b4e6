import { constants } from 'node:os';
import { JailError } from '../errors.ts';
import { POLICY_CONSTANTS } from './constants.ts';

/** What becomes of a system call. */
export type Action =
  | { readonly kind: 'allow' | 'kill' | 'trap' | 'log' }
  /** The call is not made; it returns this errno. */
  | { readonly kind: 'return'; readonly errno: number };

/**
 * How an argument is compared with a value: as unsigned 64-bit numbers; `&` holds when any bit of the value is set in the
 * argument, `in` when the argument has no bit that the value has not.
 */
export type Operator = '==' | '!=' | '<' | '<=' | '>' | '>=' | '&' | 'in';

export interface Comparison {
  /** 0 to 5. */
  readonly argument: number;
  readonly operator: Operator;
  /** Unsigned, 64 bits. */
  readonly value: bigint;
}

/** One system call's rule: alternatives of comparisons that must all hold. */
export interface Rule {
  /** Empty: the action is taken whatever the arguments are. */
  readonly alternatives: readonly (readonly Comparison[])[];
  /** What is done when an alternative holds. */
  readonly action: Action;
  /** What is done when none does; the policy's default when left out. */
  readonly otherwise?: Action;
}

/** Which system calls a jailed process may make. */
export interface Policy {
  /** By the system call's name. Names that an architecture does not have are left out there. */
  readonly rules: ReadonlyMap<string, Rule>;
  readonly defaultAction: Action;
}

const LINE = /^\s*(?:\{\s*([a-z0-9_]+(?:\s*,\s*[a-z0-9_]+)*)\s*\}|([a-z0-9_]+))\s*:\s*(.+?)\s*$/;
const COMPARISON = /^arg([0-5])\s*(==|!=|<=|>=|<|>|&|in\b)\s*(.+)$/;
const MAXIMUM_VALUE = (1n << 64n) - 1n;
const MAXIMUM_NESTING = 8;

/** Gives the text of a policy that another one includes. */
export type PolicySource = (name: string) => string;

/**
 * Reads a policy in minijail's grammar: `name: 1` allows a system call, `name: arg0 == 3 || arg1 in ~PROT_EXEC` allows it
 * for some arguments, `name: return EPERM` makes it fail; `@include FILE` and `@default ACTION` stand on lines of their own.
 * A rule takes the place of an included one for the same call.
 *
 * @param name for messages
 * @throws JailError BAD_POLICY with the file and line
 */
export function parsePolicy(text: string, name: string, source: PolicySource): Policy {
  return parseNested(text, name, source, 0);
}

function parseNested(text: string, name: string, source: PolicySource, depth: number): Policy {
  const included = new Map<string, Rule>();
  const own = new Map<string, Rule>();
  let defaultAction: Action | undefined;
  let includedDefault: Action = { kind: 'kill' };
  for (const [index, line] of text.split('\n').entries()) {
    const fail = (problem: string, cause?: unknown): never => {
      throw new JailError('BAD_POLICY', `${name}:${index + 1}: ${problem}`, { cause });
    };
    const statement = line.replace(/#.*/, '').trim();
    if (statement === '') continue;
    const [directive = '', operand = ''] = statement.split(/\s+(.*)/, 2);
    if (directive === '@include') {
      if (depth === MAXIMUM_NESTING) fail(`policies include each other more than ${MAXIMUM_NESTING} deep`);
      const policy = parseNested(source(operand), operand, source, depth + 1);
      for (const [call, rule] of policy.rules) included.set(call, rule);
      includedDefault = policy.defaultAction;
    } else if (directive === '@default') {
      defaultAction = parseAction(operand) ?? fail(`'${operand}' is not an action`);
    } else if (directive === '@frequency') {
      // How often each call is made: the search here takes the same few steps for all of them.
    } else if (directive.startsWith('@')) {
      fail(`there is no directive ${directive}: use @include or @default`);
    } else {
      const [, group, single, text = ''] = LINE.exec(statement) ?? fail("expected 'system_call: rule'");
      const rule = parseRule(text, fail);
      for (const call of (group ?? single ?? '').split(/\s*,\s*/)) {
        if (own.has(call)) fail(`${call} has a rule already in this file`);
        own.set(call, rule);
      }
    }
  }
  return { rules: new Map([...included, ...own]), defaultAction: defaultAction ?? includedDefault };
}

type Fail = (problem: string, cause?: unknown) => never;

function parseRule(text: string, fail: Fail): Rule {
  const action = parseAction(text);
  if (action !== undefined) return { alternatives: [], action };
  const [filter = '', otherwiseText, ...rest] = text.split(/\s*;\s*/);
  if (rest.length > 0) fail("a rule is a filter and at most one '; return ERRNO'");
  const alternatives = filter
    .split('||')
    .map((alternative) =>
      alternative.split('&&').map((comparison) => parseComparison(comparison.trim(), fail)),
    );
  if (otherwiseText === undefined) return { alternatives, action: { kind: 'allow' } };
  const otherwise = parseAction(otherwiseText) ?? fail(`'${otherwiseText}' is not an action`);
  return { alternatives, action: { kind: 'allow' }, otherwise };
}

function parseAction(text: string): Action | undefined {
  switch (text) {
    case '1':
    case 'allow':
      return { kind: 'allow' };
    case 'kill':
    case 'kill-process':
      return { kind: 'kill' };
    case 'trap':
    case 'log':
      return { kind: text };
  }
  const [, errno] = /^return\s+(\w+)$/.exec(text) ?? [];
  if (errno === undefined) return undefined;
  const number = /^\d+$/.test(errno)
    ? Number(errno)
    : Object.entries(constants.errno).find(([key]) => key === errno)?.[1];
  return number === undefined || number > 4095 ? undefined : { kind: 'return', errno: number };
}

function parseComparison(text: string, fail: Fail): Comparison {
  const [, argument, operator, value = ''] =
    COMPARISON.exec(text) ?? fail(`'${text}' is not a comparison such as 'arg1 == 0', nor an action`);
  return { argument: Number(argument), operator: operator as Operator, value: parseValue(value, fail) };
}

/** Constants and numbers joined by `|`, each with `~` for its complement. */
function parseValue(text: string, fail: Fail): bigint {
  let value = 0n;
  for (const term of text.split('|')) {
    const [, complement, word = ''] =
      /^\s*(~?)\s*(\w+)\s*$/.exec(term) ?? fail(`'${term.trim()}' is not a value`);
    const number = parseNumber(word) ?? POLICY_CONSTANTS.get(word) ?? fail(`there is no constant ${word}`);
    if (number > MAXIMUM_VALUE) fail(`${word} has more than 64 bits`);
    value |= complement === '~' ? MAXIMUM_VALUE - number : number;
  }
  return value;
}

/** Decimal, 0x hexadecimal or 0 octal. */
function parseNumber(word: string): bigint | undefined {
  if (/^(?:0x[0-9a-fA-F]+|[1-9][0-9]*|0)$/.test(word)) return BigInt(word);
  return /^0[0-7]+$/.test(word) ? BigInt(`0o${word.slice(1)}`) : undefined;
}
