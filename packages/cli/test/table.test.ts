import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../src/commands/table.ts';
import { UsageError } from '../src/errors.ts';
import { GLOBAL_OPTIONS } from '../src/options/global.ts';
import { RUN_OPTIONS } from '../src/options/run.ts';
import { parseCommandLine } from '../src/parse.ts';
import { HANDLERS } from '../src/run/request.ts';

const fixture = readFileSync(new URL('fixtures/crosvm-names.txt', import.meta.url), 'utf8');

/** The lines of a section of the fixture. */
function section(title: string): readonly string[] {
  const [, body = ''] = fixture.split(`[${title}]\n`);
  return body.split('\n\n')[0]?.split('\n').filter(Boolean) ?? [];
}

describe("crosvm's names", () => {
  test('run has the options of crosvm, with their short names, and no others', () => {
    const global = new Set(GLOBAL_OPTIONS.map(({ name }) => name));
    const ours = RUN_OPTIONS.map(({ name, short }) => (short === undefined ? name : `${name} ${short}`));
    const theirs = section('run options').filter((name) => !global.has(name));
    expect(ours.toSorted()).toEqual(theirs.toSorted());
  });

  test('the global options are those of crosvm, and --help', () => {
    const ours = GLOBAL_OPTIONS.map(({ name }) => name).filter((name) => name !== 'help');
    expect(ours.toSorted()).toEqual(section('global options').toSorted());
  });

  test('every command of crosvm is known', () => {
    const words = new Set(COMMANDS.map(({ name }) => name.split(' ', 1)[0] ?? ''));
    const ours = [...words].filter((word) => word !== 'help' && word !== 'guest');
    expect(ours.toSorted()).toEqual(section('commands').toSorted());
  });
});

test('every option that works does something, and none that does not', () => {
  const working = RUN_OPTIONS.filter(
    ({ availability: { kind } }) => kind === 'built' || kind === 'deprecated',
  );
  expect(Object.keys(HANDLERS).toSorted()).toEqual(working.map(({ name }) => name).toSorted());
});

test.each(RUN_OPTIONS.filter(({ availability }) => availability.kind === 'not-built'))(
  '--$name is refused by name and says what to do',
  ({ name }) => {
    for (const args of [[`--${name}`], [`--${name}=1`], [`--${name}`, 'x', 'kernel']]) {
      const parse = () => parseCommandLine(['run', ...args]);
      expect(parse).toThrow(UsageError);
      expect(parse).toThrow(new RegExp(`^--${name} is not built yet\\. .+\\.$`));
    }
  },
);

test.each(COMMANDS.filter(({ availability }) => availability.kind === 'not-built'))(
  'the command $name is refused by name and says what to do',
  ({ name }) => {
    expect(() => parseCommandLine([name, 'x', '--y'])).toThrow(
      new RegExp(`^the command ${name} is not built yet\\. .+\\.$`),
    );
  },
);

test.each([...RUN_OPTIONS, ...GLOBAL_OPTIONS])('--$name misspelt is recognized', ({ name }) => {
  const known = new Set([...RUN_OPTIONS, ...GLOBAL_OPTIONS].map((option) => option.name));
  const swapped = name.replace(/^(.*)(.)(.)$/, '$1$3$2');
  for (const misspelt of [`${name}x`, swapped, name.replace(/^./, '')]) {
    if (known.has(misspelt) || misspelt.length < 4) continue;
    expect(() => parseCommandLine(['run', `--${misspelt}`])).toThrow(
      /^there is no option --.+; (did you mean --[a-z0-9-]+\?)$/,
    );
  }
  if (name.length > 4) {
    expect(() => parseCommandLine(['run', `--${name}xy`])).toThrow(
      known.has(`${name}xy`) ? '' : /did you mean|lists the options/,
    );
  }
});
