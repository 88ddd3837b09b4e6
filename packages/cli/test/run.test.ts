import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BIN, tsvmm } from './support/cli.ts';

let directory = '';
let guest = '';

// Real guests take seconds to boot; this one is of a few instructions and just as real to the machine.
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-run-'));
  guest = join(directory, 'Image');
  const source = fileURLToPath(new URL('support/guest.S', import.meta.url));
  const elf = join(directory, 'guest.elf');
  const options = ['-nostdlib', '-static', '-Wl,-Ttext=0x80200000', '-Wl,--build-id=none'];
  execFileSync('riscv64-linux-gnu-gcc', [...options, '-o', elf, source]);
  execFileSync('riscv64-linux-gnu-objcopy', ['-O', 'binary', elf, guest]);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the exit status tells how the guest ended', () => {
  test.each([
    ['Q', 0, ''],
    ['R', 32, 'reboot'],
    ['C', 33, 'system failure'],
    ['P', 34, 'panicked: on request'],
  ])('%s: %i', (letter, status, message) => {
    const extended = tsvmm(['--extended-status', 'run', guest], { input: `ab${letter}` });
    expect(extended.stdout).toMatch(/^ready\nab/);
    expect(extended.stderr).toContain(message);
    expect(extended.status).toBe(status);
  });

  test('only if it is asked to', () => {
    expect(tsvmm(['run', guest], { input: 'R' }).status).toBe(0);
  });
});

test('standard output has what the guest wrote and nothing else; --log-level off silences the rest', () => {
  const { status, stdout, stderr } = tsvmm(['--log-level=off', 'run', '--no-rng', guest], {
    input: 'one\ntwo\nQ',
  });
  expect(stdout).toBe('ready\none\ntwo\n');
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('input from a pipe arrives whole', () => {
  const input = `${randomBytes(24_000).toString('hex')}Q`;
  const { stdout } = tsvmm(['run', guest], { input });
  expect(stdout).toBe(`ready\n${input.slice(0, -1)}`);
});

test('a console in a file', () => {
  const log = join(directory, 'console.log');
  const { status, stdout } = tsvmm(['run', '--serial', `type=file,path="${log}",console,stdin`, guest], {
    input: 'abQ',
  });
  expect(readFileSync(log, 'latin1')).toBe('ready\nab');
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

test('a console in datagrams', async () => {
  const path = join(directory, 'datagrams');
  const program = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print(flush=True)
received = b''
while not received.endswith(b'ab'):
    received += receiver.recv(65536)
sys.stdout.buffer.write(received)
`;
  const receiver = spawn('python3', ['-c', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(receiver.stdout, 'readable');
  const { status, stdout } = tsvmm(['run', '--serial', `type=unix,path="${path}",console,stdin`, guest], {
    input: 'abQ',
  });
  expect(await text(receiver.stdout)).toBe('\nready\nab');
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s ends the guest with status %i', async (signal, status) => {
  const child = spawn(process.execPath, [BIN, 'run', guest], { stdio: ['pipe', 'pipe', 'pipe'] });
  await once(child.stdout, 'data');
  child.kill(signal);
  expect(await once(child, 'exit')).toEqual([status, null]);
});

test('the guest ends when nobody reads its output', async () => {
  const child = spawn(process.execPath, [BIN, 'run', guest], { stdio: ['pipe', 'pipe', 'pipe'] });
  await once(child.stdout, 'data');
  const errors = text(child.stderr);
  child.stdout.destroy();
  child.stdin.write('more');
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(await errors).not.toContain('    at ');
});

test('on a terminal, Ctrl-A x ends the guest and the terminal is as before', () => {
  const terminal = fileURLToPath(new URL('support/terminal.py', import.meta.url));
  const steps = [
    ['expect', 'ready'],
    ['send', 'ab\x03'],
    ['expect', 'ab\x03'],
    ['send', '\x01x'],
  ];
  const args = [terminal, JSON.stringify(steps), process.execPath, BIN, 'run', guest];
  const { stdout, stderr } = spawnSync('python3', args, { encoding: 'utf8' });
  expect(stderr).toBe('');
  const { status, before, after } = JSON.parse(stdout);
  expect(status).toBe(0);
  expect(after).toEqual(before);
});

describe('files that are no good', () => {
  test.each([
    ['a kernel that was cut off', () => readFileSync(join(directory, 'guest.elf')).subarray(0, 100)],
    ['text', () => Buffer.from('#!/bin/sh\n')],
    ['noise', () => randomBytes(4096)],
  ])('%s', (_, contents) => {
    const path = join(directory, 'bad');
    writeFileSync(path, contents());
    const { status, stdout, stderr } = tsvmm(['--log-level=error', '--extended-status', 'run', path]);
    expect(stderr).toMatch(/^tsvmm: KERNEL: .+\n$/);
    expect(stdout).toBe('');
    expect(status).toBe(1);
  });
});
