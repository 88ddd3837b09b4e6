import { expect, test } from 'vitest';
import { parseArguments } from '../arguments.ts';

const usage = (words: RegExp) =>
  expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(words) });

test('tells its own options from the words of the command', () => {
  expect(
    parseArguments(['run', '--memory', '1024', 'x86_64', '--qemu', '-device', '--', 'ls', '--help']),
  ).toEqual({
    command: 'run',
    architecture: 'x86_64',
    program: ['ls', '--help'],
    console: false,
    memory: 1024,
    emulatorArguments: ['-device'],
  });
  expect(parseArguments(['test', '--', '-t', 'MSI'])).toMatchObject({
    architectures: [],
    filters: ['-t', 'MSI'],
  });
  expect(parseArguments([])).toEqual({ command: 'help' });
});

test('says what is wrong with a command line', () => {
  expect(() => parseArguments(['run', 'x86_64'])).toThrow(usage(/behind --/));
  expect(() => parseArguments(['run', 'sparc', '--', 'ls'])).toThrow(usage(/no lab for 'sparc'.*x86_64/));
  expect(() => parseArguments(['start'])).toThrow(usage(/no command 'start'/));
  expect(() => parseArguments(['test', '--memory', 'much'])).toThrow(usage(/MiB/));
  expect(() => parseArguments(['test', '--qemu'])).toThrow(usage(/needs a value/));
  expect(() => parseArguments(['test', '-t'])).toThrow(usage(/behind --/));
});
