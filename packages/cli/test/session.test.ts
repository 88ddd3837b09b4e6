import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SESSION = fileURLToPath(new URL('support/echo-session.ts', import.meta.url));
const TERMINAL = fileURLToPath(new URL('support/terminal.py', import.meta.url));
/** Flags of termios on Linux, in the local modes. */
const ICANON = 0o2;
const ECHO = 0o10;
const ISIG = 0o1;

type Step = readonly ['expect' | 'send', string] | readonly ['signal', number] | readonly ['modes'];

interface TerminalResult {
  readonly status: number;
  readonly output: string;
  readonly before: readonly number[];
  readonly during: readonly (readonly number[])[];
  readonly after: readonly number[];
}

function onTerminal(...steps: readonly Step[]): TerminalResult {
  const args = [TERMINAL, JSON.stringify(steps), process.execPath, SESSION];
  const { stdout, stderr } = spawnSync('python3', args, { encoding: 'utf8' });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe('on a terminal', () => {
  const started: readonly Step[] = [['expect', 'started'], ['modes']];

  test('it is raw while the guest runs, which is announced, and restored afterwards', () => {
    const { status, output, before, during, after } = onTerminal(...started, ['send', '\x01x']);
    expect(output).toContain('tsvmm: Ctrl-A x ends the guest');
    expect((during[0]?.[3] ?? 0) & (ICANON | ECHO | ISIG)).toBe(0);
    expect(after).toEqual(before);
    expect(status).toBe(0);
  });

  test('keys reach the guest as they are typed, Ctrl-C among them, and Ctrl-A when it is typed twice', () => {
    const { output, status } = onTerminal(
      ...started,
      ['send', 'a\x03\x04'],
      ['expect', 'a\x03\x04'],
      ['send', '\x01\x01b'],
      ['expect', '\x01b'],
      ['send', '\x01h'],
      ['expect', 'Ctrl-A Ctrl-A  send Ctrl-A to the guest'],
      ['send', 'power\r'],
    );
    expect(output).not.toContain('\x01\x01');
    expect(status).toBe(0);
  });

  test('Ctrl-A x works while the guest takes no input', () => {
    const flood = 'x'.repeat(2000);
    const { status, after, before } = onTerminal(
      ...started,
      ['send', 'deaf\r'],
      ['expect', 'deaf'],
      ['send', flood],
      ['send', '\x01x'],
    );
    expect(status).toBe(0);
    expect(after).toEqual(before);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends the guest and restores it', (signal) => {
    const number = constants.signals[signal];
    const { status, after, before } = onTerminal(...started, ['signal', number]);
    expect(status).toBe(128 + number);
    expect(after).toEqual(before);
  });

  test.each(['SIGSEGV', 'SIGABRT', 'SIGQUIT'] as const)('%s leaves it restored', (signal) => {
    const { status, after, before } = onTerminal(...started, ['signal', constants.signals[signal]]);
    expect(status).toBe(-constants.signals[signal]);
    expect(after).toEqual(before);
  });

  test('an error that nothing catches leaves it restored', () => {
    const { status, output, after, before } = onTerminal(...started, ['send', 'crash\r']);
    expect(output).toContain('uncaught');
    expect(status).toBe(1);
    expect(after).toEqual(before);
  });
});

describe('with pipes', () => {
  test('everything arrives in order, and the end of the input does not end the guest', async () => {
    const child = spawn(process.execPath, [SESSION], { stdio: ['pipe', 'pipe', 'pipe'] });
    const input = randomBytes(1_500_000);
    const output = createHash('sha256');
    let length = -'started\n'.length;
    const done = Promise.withResolvers<void>();
    child.stdout.on('data', (bytes: Buffer) => {
      output.update(bytes);
      length += bytes.length;
      if (length >= input.length) done.resolve();
    });
    child.stdin.end(input);
    await done.promise;
    expect(output.digest('hex')).toBe(createHash('sha256').update('started\n').update(input).digest('hex'));
    expect(child.exitCode).toBeNull();
    const errors = text(child.stderr);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([143, null]);
    expect(await errors).toBe('');
  });

  test('input ends the guest when the guest says so', async () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [SESSION], { input: 'ls\npower\n' });
    expect(stdout.toString()).toBe('started\nls\npower\n');
    expect(stderr.toString()).toBe('');
    expect(status).toBe(0);
  });

  test('the guest ends when nobody reads its output', async () => {
    const child = spawn(process.execPath, [SESSION], { stdio: ['pipe', 'pipe', 'pipe'] });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    child.stdin.write('more\n');
    const errors = text(child.stderr);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await errors).toBe('');
  });

  test('a directory as input is as good as none', async () => {
    const child = spawn('sh', ['-c', 'exec "$0" "$1" < /', process.execPath, SESSION], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([143, null]);
    expect(await output).toEqual(['started\n', '']);
  });
});
