import { constants } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JailError, loadPolicy, parsePolicy } from '../src/index.ts';

const parse = (text: string, others: Readonly<Record<string, string>> = {}) =>
  parsePolicy(text, 'test.policy', (name) => others[name] ?? '');

describe('a policy', () => {
  test('allows, forbids and answers', () => {
    const policy = parse(
      'read: 1\nwrite: allow # both the same\nopen: return ENOENT\nkill: kill\n@default log\n',
    );
    expect(policy.rules.get('read')).toEqual({ alternatives: [], action: { kind: 'allow' } });
    expect(policy.rules.get('write')).toEqual(policy.rules.get('read'));
    expect(policy.rules.get('open')?.action).toEqual({ kind: 'return', errno: constants.errno.ENOENT });
    expect(policy.rules.get('kill')?.action).toEqual({ kind: 'kill' });
    expect(policy.defaultAction).toEqual({ kind: 'log' });
  });

  test('compares arguments', () => {
    const { rules } = parse(
      'mmap: arg2 in ~PROT_EXEC && arg0 == 0 || arg3 & 0x10|MAP_ANONYMOUS; return EPERM',
    );
    expect(rules.get('mmap')).toEqual({
      alternatives: [
        [
          { argument: 2, operator: 'in', value: 0xfffffffffffffffbn },
          { argument: 0, operator: '==', value: 0n },
        ],
        [{ argument: 3, operator: '&', value: 0x30n }],
      ],
      action: { kind: 'allow' },
      otherwise: { kind: 'return', errno: constants.errno.EPERM },
    });
  });

  test('names several calls at once', () => {
    expect([...parse('{ read, write }: 1').rules.keys()]).toEqual(['read', 'write']);
  });

  test('takes the place of what it includes', () => {
    const { rules, defaultAction } = parse('read: return EPERM\n@include other.policy', {
      'other.policy': '@default trap\nread: 1\nwrite: 1',
    });
    expect(rules.get('read')?.action.kind).toBe('return');
    expect(rules.get('write')?.action.kind).toBe('allow');
    expect(defaultAction).toEqual({ kind: 'trap' });
  });

  test.each([
    ['read', "test.policy:1: expected 'system_call: rule'"],
    ['\nread: maybe', "test.policy:2: 'maybe' is not a comparison"],
    ['read: return EWHAT', "'return EWHAT' is not a comparison"],
    ['read: arg6 == 0', "'arg6 == 0' is not a comparison"],
    ['read: arg0 == NOTHING', 'there is no constant NOTHING'],
    ['read: arg0 == 0x10000000000000000', 'more than 64 bits'],
    ['read: 1\nread: 1', 'test.policy:2: read has a rule already in this file'],
    ['@default maybe', "'maybe' is not an action"],
    ['@frequently x', 'there is no directive @frequently'],
    ['read: arg0 == 1; return EPERM; return EPERM', "at most one '; return ERRNO'"],
  ])('%j is refused with its line', (text, problem) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'BAD_POLICY', message: expect.stringContaining(problem) }),
    );
  });

  test('that includes itself is refused', () => {
    expect(() => parse('@include a', { a: '@include a' })).toThrow('more than 8 deep');
  });

  test('of any text is a policy or a JailError', () => {
    const words = fc.constantFrom(
      'read',
      ':',
      ' ',
      '1',
      'arg0',
      '==',
      '&&',
      '||',
      ';',
      'return',
      '{',
      '}',
      ',',
      '\n',
      '@include',
      '~',
      '0x',
      '#',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words).map((list) => list.join('')),
        ),
        (text) => {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(JailError);
          }
        },
      ),
    );
  });
});

test('policies come from the package, or before it from a directory', () => {
  expect(loadPolicy('common').rules.has('read')).toBe(true);
  expect(() => loadPolicy('unheard-of')).toThrow('there is no policy unheard-of.policy');
  expect(() => loadPolicy('../secret')).toThrow('is not the name of a policy');
});
