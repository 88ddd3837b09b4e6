import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUN_OPTIONS } from '../src/options/run.ts';
import { tsvmm } from './support/cli.ts';

let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-cli-'));
  writeFileSync(join(directory, 'Image'), 'MZ');
  writeFileSync(join(directory, 'empty'), '');
  writeFileSync(join(directory, 'big.cpio'), '');
  truncateSync(join(directory, 'big.cpio'), 300 * 1024 * 1024);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs in the directory with the files, without colours. */
function run(...args: string[]) {
  return tsvmm(['--extended-status', 'run', ...args], { cwd: directory });
}

describe('one clear message and the documented status', () => {
  test.each<[string[], number, RegExp]>([
    [['missing'], 1, /^tsvmm: KERNEL: the kernel "missing" does not exist; check the path\n$/],
    [['empty'], 1, /^tsvmm: KERNEL: the kernel "empty" is empty\n$/],
    [['.'], 1, /^tsvmm: KERNEL: the kernel "\." is a directory/],
    [['-i', 'missing', 'Image'], 1, /^tsvmm: -i: the initrd "missing" does not exist/],
    [
      ['-i', 'big.cpio', 'Image'],
      1,
      /^tsvmm: -i: the initrd "big.cpio" of 300 MiB does not fit into 256 MiB/,
    ],
    [['-b', 'missing', 'Image'], 1, /^tsvmm: -b: the disk "missing" does not exist/],
    [['-b', '.', 'Image'], 1, /^tsvmm: -b: the disk "\." is a directory/],
    [
      ['-b', '/dev/null', 'Image'],
      1,
      /^tsvmm: -b: the disk "\/dev\/null" is neither a file nor a block device/,
    ],
    [['-b', 'Image', '-b', 'missing,ro', 'Image'], 1, /^tsvmm: -b missing,ro: the disk "missing"/],
    [['--mem', '1', 'Image'], 1, /^tsvmm: --mem: 1 MiB of memory are too few/],
    [['--mem', '999999999999', 'Image'], 1, /^tsvmm: --mem: 999999999999 MiB of memory are too many/],
    [['--mem', '-1', 'Image'], 35, /^tsvmm: --mem: /],
    [['--cpus', '4294967295', 'Image'], 1, /^tsvmm: --cpus: a machine has from 1 to 254/],
    [['--mem', '1e3', 'Image'], 35, /^tsvmm: --mem: .*\n {2}1e3\n {2}\^+\n$/],
    [['--nmae', 'x'], 35, /^tsvmm: there is no option --nmae; did you mean --name\?\n$/],
    [['--gpu'], 35, /^tsvmm: --gpu is not built yet\. .*\.\n$/],
  ])('%j', (args, status, message) => {
    const result = run(...args);
    expect(result.stderr).toMatch(message);
    expect(result.stdout).toBe('');
    expect(result.status).toBe(status);
  });

  test('a stack is shown only when it is asked for', () => {
    expect(run('missing').stderr).not.toContain('    at ');
    expect(run('--log-level', 'debug', 'missing').stderr).toContain('    at ');
  });

  test('a status of 35 does not need --extended-status', () => {
    expect(tsvmm(['run', '--mem']).status).toBe(35);
  });

  test('control characters in names do not reach the terminal', () => {
    const { stderr } = run('\x1b[31mred');
    expect(stderr).not.toContain('\x1b');
    expect(stderr).toContain('\\u001b[31mred');
  });

  test('colours are for terminals', () => {
    expect(run('missing').stderr).not.toContain('\x1b');
  });
});

test('every option misspelt once, together', () => {
  // One process per option would take minutes; test/table.test.ts has them all without processes.
  const some = RUN_OPTIONS.filter((_, index) => index % 20 === 0);
  for (const { name } of some) {
    const { status, stderr } = run(`--${name}z`);
    expect(stderr).toMatch(/^tsvmm: there is no option --.*; did you mean --.*\?\n$/);
    expect(status).toBe(35);
  }
});
