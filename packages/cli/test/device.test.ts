import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BIN, tsvmm } from './support/cli.ts';

// How QEMU's guests get along with these devices is tested in packages/vhost-user.

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-device-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A front end's request without a payload, and one with a payload of 32-bit words (vhost-user, "Message format"). */
function request(number: number, ...words: number[]): Buffer {
  return Buffer.from(Uint32Array.of(number, 1, 4 * words.length, ...words).buffer);
}

async function ask(socket: Socket, message: Buffer, length: number): Promise<Buffer> {
  socket.write(message);
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    if (Buffer.concat(chunks).length >= length) break;
  }
  return Buffer.concat(chunks);
}

/** Starts a device, and resolves once it waits for a front end. */
async function started(path: string, ...args: string[]) {
  const child = spawn(process.execPath, [BIN, 'device', ...args, '--socket-path', path], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const status = new Promise((resolve) => child.once('exit', resolve));
  const { promise, resolve } = Promise.withResolvers<void>();
  const messages: string[] = [];
  child.stderr.on('data', (bytes: Buffer) => {
    messages.push(bytes.toString());
    if (messages.join('').includes('waits for a front end')) resolve();
  });
  await promise;
  return { status, messages };
}

test('a disk is served to one front end, and then the command ends', async () => {
  writeFileSync(join(directory, 'disk.img'), Buffer.alloc(1 << 20));
  const path = join(directory, 'disk.sock');
  const { status } = await started(path, 'block', '--file', `${join(directory, 'disk.img')}:read-only`);
  const socket = connect(path);
  // GET_FEATURES: VIRTIO_BLK_F_RO is bit 5, VHOST_USER_F_PROTOCOL_FEATURES bit 30.
  const features = (await ask(socket, request(1), 20)).readUInt32LE(12);
  expect(features & (1 << 5)).not.toBe(0);
  expect(features & (1 << 30)).not.toBe(0);
  // GET_CONFIG: the capacity comes first, in sectors.
  const config = await ask(socket, request(24, 0, 8, 0, 0, 0), 32);
  expect(config.readUInt32LE(24)).toBe(2048);
  socket.end();
  expect(await status).toBe(0);
  expect(existsSync(path)).toBe(false);
});

test('a front end that breaks the protocol is named as the reason', async () => {
  const path = join(directory, 'rng.sock');
  const { status, messages } = await started(path, 'rng');
  connect(path).end(request(8, 99, 8));
  expect(await status).toBe(1);
  expect(messages.join('')).toContain('there is no ring 99');
});

test.each([
  [['block', '--socket-path', '/tmp/x'], 'say which image: --file PATH[:read-only]'],
  [['block', '--file', 'disk.img', '--socket-path', 'x'], 'disk.img cannot be opened'],
  [['rng'], 'with --socket-path PATH, or with --fd N'],
  [['rng', '--fd', 'three'], '--fd'],
  [['console', '--socket-path', 'x', '--syslog', '--output-file', 'y'], 'give --output-file or --syslog'],
  [['rng', '--socket-path', 'x', '--seccomp-policy-dir', ''], 'needs the path of a directory'],
])('tsvmm device %j is refused with what to do', (args, problem) => {
  const { status, stderr } = tsvmm(['device', ...args], { cwd: directory });
  expect(status).not.toBe(0);
  expect(stderr).toContain(problem);
  expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(3);
});
