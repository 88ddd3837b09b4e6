import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError, type UsageErrorCode } from '../src/errors.ts';
import { RUN_OPTIONS } from '../src/options/run.ts';
import { parseCommandLine } from '../src/parse.ts';

/** What was given, as name and value. */
function given(...args: string[]): readonly (readonly [string, string | undefined])[] {
  return parseCommandLine(args).options.map(({ definition, value }) => [definition.name, value] as const);
}

describe('options', () => {
  test.each([[['run', '--mem', '5']], [['run', '--mem=5']], [['run', '-m', '5']], [['run', '-m=5']]])(
    '%j',
    (args) => {
      expect(given(...args)).toEqual([['mem', '5']]);
    },
  );

  test('a value may contain =, be empty after =, be - and begin with a dash', () => {
    expect(given('run', '-p=a=b', '--params=', '-p', '-', '-p', '-x', '-p', '--unknown', '-p=--mem')).toEqual(
      [
        ['params', 'a=b'],
        ['params', ''],
        ['params', '-'],
        ['params', '-x'],
        ['params', '--unknown'],
        ['params', '--mem'],
      ],
    );
  });

  test('options keep their order, across spellings', () => {
    const names = given('run', '-d', 'a', '-b', 'b', '--rwdisk', 'c', '-r', 'd').map(([name]) => name);
    expect(names).toEqual(['disk', 'block', 'rwdisk', 'root']);
  });

  test('global options stand before and after the command', () => {
    expect(given('--log-level', 'debug', 'run', '--extended-status', 'k', '--no-syslog')).toEqual([
      ['log-level', 'debug'],
      ['extended-status', undefined],
      ['no-syslog', undefined],
    ]);
  });

  test('operands: - is one, and everything after --', () => {
    expect(parseCommandLine(['run', '-']).operands).toEqual(['-']);
    expect(parseCommandLine(['run', '--', '--mem']).operands).toEqual(['--mem']);
    expect(parseCommandLine(['help', 'guest', 'fetch']).operands).toEqual(['guest', 'fetch']);
  });

  test('a switch may be repeated', () => {
    expect(given('run', '--no-rng', '--no-rng')).toHaveLength(2);
  });

  test('old spellings are warned about', () => {
    expect(parseCommandLine(['run', '--rwroot', 'x']).warnings).toEqual([
      '--rwroot is an old spelling; write --block PATH,root',
    ]);
  });
});

describe('help', () => {
  test.each([
    [['--help'], undefined],
    [['-h'], undefined],
    [['run', '--help'], 'run'],
    [['run', 'k', '-h', '--nonsense'], 'run'],
    [['guest', 'fetch', '--help'], 'guest fetch'],
  ])('%j', (args, command) => {
    const line = parseCommandLine(args);
    expect(line.help).toBe(true);
    expect(line.command?.name).toBe(command);
  });

  test('of a family of commands', () => {
    expect(parseCommandLine(['guest', '--help']).family).toEqual(['guest']);
  });

  test('as the value of an option is a value', () => {
    expect(given('run', '-p=--help')).toEqual([['params', '--help']]);
    expect(given('run', '-p', '-h')).toEqual([['params', '-h']]);
  });
});

describe('mistakes', () => {
  test.each<[string[], UsageErrorCode, string]>([
    [[], 'MISSING_ARGUMENT', 'tsvmm run boots a guest'],
    [['guest'], 'MISSING_ARGUMENT', 'guest fetch, guest list, guest rm'],
    [['rum'], 'UNKNOWN_COMMAND', 'did you mean run?'],
    [['guest', 'lsit'], 'UNKNOWN_COMMAND', 'did you mean guest list?'],
    [['zzzzzzzz'], 'UNKNOWN_COMMAND', 'tsvmm --help lists the commands'],
    [['run', '--memm', '5'], 'UNKNOWN_OPTION', 'did you mean --mem?'],
    [['run', '--block_size'], 'UNKNOWN_OPTION', 'tsvmm run --help lists the options'],
    [['run', '--no_rng'], 'UNKNOWN_OPTION', 'did you mean --no-rng?'],
    [['run', '-m256'], 'UNKNOWN_OPTION', 'write -m 256'],
    [['run', '-bdisk=1'], 'UNKNOWN_OPTION', 'write -b disk=1'],
    [['run', '-mem', '5'], 'UNKNOWN_OPTION', 'did you mean --mem?'],
    [['run', '-x'], 'UNKNOWN_OPTION', 'tsvmm run --help lists the options'],
    [['--mem', '5', 'run'], 'UNKNOWN_OPTION', 'tsvmm run --mem'],
    [['run', '--mem'], 'MISSING_VALUE', '--mem [size=]MIB'],
    [['run', '--initrd', '--mem', '5'], 'MISSING_VALUE', 'write --initrd=--mem'],
    [['run', '--no-rng=1'], 'UNEXPECTED_VALUE', 'without "=1"'],
    [['run', '-m', '1', '--mem=2'], 'DUPLICATE_OPTION', 'given twice'],
    [['run', 'a', 'b'], 'UNEXPECTED_ARGUMENT', 'remove "b"'],
    [['version', 'a'], 'UNEXPECTED_ARGUMENT', 'takes no operands'],
    [['run', '--gpu'], 'NOT_BUILT', '--gpu is not built yet. '],
    [['run', '--host_ip', '1'], 'NOT_BUILT', '--net'],
    [['stop', 'socket'], 'NOT_BUILT', 'SIGTERM'],
  ])('%j', (args, code, text) => {
    const error = thrownBy(() => parseCommandLine(args));
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
  });

  test('all options that are not built are named at once', () => {
    expect(() => parseCommandLine(['run', '--gpu', '--net', 'x', '--mem=5', '--vsock=3', '--gpu'])).toThrow(
      /also not built yet: --net, --vsock$/,
    );
  });
});

test('property: any command line is either understood or refused as a usage mistake', () => {
  const words = ['run', 'guest', 'list', 'help', '-', '--', '-h', '--log-level', 'x'];
  const names = RUN_OPTIONS.flatMap(({ name, short }) => [`--${name}`, `-${short ?? 'q'}`, `--${name}=1`]);
  const arg = fc.oneof(fc.constantFrom(...words), fc.constantFrom(...names), fc.string());
  fc.assert(
    fc.property(fc.array(arg, { maxLength: 8 }), (args) => {
      try {
        parseCommandLine(args);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
      }
    }),
    { numRuns: 500 },
  );
});

test('property: values reach the option as they are', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 5 }), (values) => {
      const args = values.flatMap((value, index) =>
        index % 2 === 0 ? [`-p=${value}`] : [`--params=${value}`],
      );
      expect(given('run', ...args).map(([, value]) => value)).toEqual(values);
    }),
  );
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
