import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../src/commands/table.ts';
import { EXIT_STATUS_TABLE } from '../src/exit-status.ts';
import { HELP_COLUMNS, helpFor } from '../src/help.ts';
import { RUN_OPTIONS } from '../src/options/run.ts';
import { BIN, tsvmm } from './support/cli.ts';

const TOPICS = ['', 'values', 'exit-status', 'not-built', 'guest', ...COMMANDS.map(({ name }) => name)];

test.each(TOPICS)('help %s fits into 80 columns', (topic) => {
  const text = helpFor(topic.split(' ').filter(Boolean));
  expect(text.endsWith('\n')).toBe(true);
  for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(HELP_COLUMNS);
});

test('the help of run names every option that works, and help not-built every other', () => {
  const run = helpFor(['run']);
  const notBuilt = helpFor(['not-built']);
  for (const { name, availability } of RUN_OPTIONS) {
    const [page, other] = availability.kind === 'not-built' ? [notBuilt, run] : [run, notBuilt];
    expect(page).toMatch(new RegExp(`--${name}(?![a-z0-9-])`));
    expect(other).not.toMatch(new RegExp(`^ {2,6}(-., )?--${name}(?![a-z0-9-])`, 'm'));
  }
});

test('help exit-status has every status', () => {
  for (const { status } of EXIT_STATUS_TABLE) expect(helpFor(['exit-status'])).toContain(`  ${status} `);
});

test('a topic that does not exist', () => {
  expect(() => helpFor(['rnu'])).toThrow('did you mean tsvmm help run?');
  expect(() => helpFor(['exit-sttus'])).toThrow('did you mean tsvmm help exit-status?');
});

describe('the program', () => {
  test.each([
    [['--help'], 'Usage: tsvmm [OPTIONS] COMMAND'],
    [['help'], 'Usage: tsvmm [OPTIONS] COMMAND'],
    [['run', '--help'], 'Usage: tsvmm run [OPTIONS] [KERNEL]'],
    [['help', 'run'], 'Usage: tsvmm run [OPTIONS] [KERNEL]'],
    [['guest', '-h'], 'Usage: tsvmm guest COMMAND'],
    [['version'], 'tsvmm '],
  ])('%j prints to standard output and succeeds', (args, text) => {
    const { status, stdout, stderr } = tsvmm(args);
    expect(stdout).toContain(text);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test('help loads neither the library nor a native add-on', () => {
    const { stderr } = tsvmm(['run', '--help'], { env: { ...process.env, NODE_DEBUG: 'esm' } });
    expect(stderr).toContain('main.help.bundle.js');
    expect(stderr).not.toMatch(
      /main\.run\.bundle|packages\/(vmm|base|devices|softcpu|guest-image)\/dist|\.node\b/,
    );
  });

  test('a reader that left is no failure', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsvmm-help-'));
    // A FIFO that is open for writing only, as its one reader has closed it.
    const script = 'mkfifo fifo; exec 3<>fifo 4>fifo 3<&-; "$0" "$1" help not-built >&4; echo "status $?"';
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, BIN], {
      cwd: directory,
      encoding: 'utf8',
    });
    rmSync(directory, { recursive: true });
    expect(stderr).toBe('');
    expect(stdout).toBe('status 0\n');
  });
});
