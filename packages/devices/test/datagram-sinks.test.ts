import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { ByteRing, type DeviceError, openSerialSink, SerialOutput } from '../src/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'datagrams-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Prints each datagram that is sent to the path, in base64, once a line on standard input has told it to begin. */
const RECEIVER = `
import base64, os, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
receiver.bind(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
while True:
    print(base64.b64encode(receiver.recv(65536)).decode(), flush=True)
`;

async function startReceiver(name: string) {
  const path = join(directory, name);
  const child = spawn('python3', ['-c', RECEIVER, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect(await lines.next()).toMatchObject({ value: 'ready' });
  return {
    path,
    begin: () => child.stdin.write('\n'),
    next: async () => Buffer.from((await lines.next()).value ?? '', 'base64'),
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async [Symbol.asyncDispose]() {
      await this.end();
    },
  };
}

/** A message of the system log without its header, which is checked. */
function textOf(packet: Buffer, tag = 'tsvmm'): string {
  expect(packet.length).toBeLessThanOrEqual(1024);
  const message = new TextDecoder('utf-8', { fatal: true }).decode(packet);
  const header = new RegExp(`^<14>[A-Z][a-z]{2} [ 1-3]\\d \\d\\d:\\d\\d:\\d\\d ${tag}\\[${process.pid}\\]: `);
  expect(message).toMatch(header);
  return message.replace(header, '');
}

test('a Unix datagram socket gets what the guest wrote, in datagrams that are not too long', async () => {
  await using receiver = await startReceiver('plain');
  receiver.begin();
  const ring = ByteRing.create();
  await using output = new SerialOutput(ring, await openSerialSink({ type: 'unix', path: receiver.path }));
  ring.write(Buffer.from('login: '));
  expect((await receiver.next()).toString()).toBe('login: ');
  const bytes = Buffer.from(Uint8Array.from({ length: 20_000 }, (_, i) => i % 251));
  ring.write(bytes);
  const received = [await receiver.next(), await receiver.next(), await receiver.next()];
  expect(received.map(({ length }) => length)).toEqual([8192, 8192, 3616]);
  expect(Buffer.concat(received).equals(bytes)).toBe(true);
  await output.finish();
});

test('a slow receiver is waited for', async () => {
  await using receiver = await startReceiver('slow');
  await using sink = await openSerialSink({ type: 'unix', path: receiver.path });
  // More than the sockets hold.
  const bytes = Buffer.from(Uint8Array.from({ length: 1_000_000 }, (_, i) => i % 251));
  const written = sink.write(bytes);
  receiver.begin();
  const received: Buffer[] = [];
  for (let length = 0; length < bytes.length; length += received.at(-1)?.length ?? 0) {
    received.push(await receiver.next());
  }
  await written;
  expect(Buffer.concat(received).equals(bytes)).toBe(true);
});

test('a receiver that goes away is reported once, also while it is waited for', async () => {
  await using receiver = await startReceiver('gone');
  const path = receiver.path;
  const errors: DeviceError[] = [];
  const ring = ByteRing.create();
  const output = new SerialOutput(ring, await openSerialSink({ type: 'unix', path }), {
    onError: (error) => errors.push(error),
  });
  await using waiting = await openSerialSink({ type: 'unix', path });
  const refused = expect(waiting.write(new Uint8Array(4_000_000))).rejects.toMatchObject({
    code: 'ECONNREFUSED',
  });
  await receiver.end();
  await refused;
  for (let i = 0; i < 3; i++) {
    ring.write(new Uint8Array(ring.capacity));
    await ring.roomAvailable();
  }
  await output[Symbol.asyncDispose]();
  expect(errors).toMatchObject([{ code: 'BACKEND_FAILED', message: expect.stringContaining(path) }]);
  await expect(openSerialSink({ type: 'unix', path })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('start its receiver'),
  });
});

test('a stream socket is no datagram socket, nor is there one at a path that is too long', async () => {
  const path = join(directory, 'stream');
  const server = createServer().listen(path);
  await once(server, 'listening');
  await expect(openSerialSink({ type: 'unix', path })).rejects.toMatchObject({
    message: expect.stringContaining('type=unix-stream'),
    cause: { code: 'EPROTOTYPE' },
  });
  server.close();
  await once(server, 'close');
  await expect(openSerialSink({ type: 'unix', path: 'x'.repeat(108) })).rejects.toMatchObject({
    message: expect.stringContaining('at most 107 bytes'),
  });
});

test('the system log gets lines, as logger(1) sends them', async () => {
  await using receiver = await startReceiver('log');
  receiver.begin();
  const { path: socket } = receiver;
  {
    await using sink = await openSerialSink({ type: 'syslog', socket, tag: 'machine-1' });
    for (const part of ['one\r', '\n\r\n\n', 'tw', 'o\nthree\tand \x1b[1mbold\x00', ' … €\nlogin: ']) {
      await sink.write(Buffer.from(part));
    }
  }
  const packets = [
    await receiver.next(),
    await receiver.next(),
    await receiver.next(),
    await receiver.next(),
  ];
  expect(packets.map((packet) => textOf(packet, 'machine-1'))).toEqual([
    'one',
    'two',
    'three\tand ?[1mbold? … €',
    'login: ',
  ]);
  const options = ['--socket', socket, '--priority', 'user.info', '--tag', 'machine-1'];
  execFileSync('logger', [...options, `--id=${process.pid}`, 'one']);
  const timeless = (packet: Buffer | undefined) => `${packet}`.replace(/>.{15} /, '>time ');
  expect(timeless(packets[0])).toBe(timeless(await receiver.next()));
});

test('no text, however it is cut into writes, is lost or torn on its way to the system log', async () => {
  await using receiver = await startReceiver('any');
  receiver.begin();
  await using sink = await openSerialSink({ type: 'syslog', socket: receiver.path });
  const line = fc.string({ unit: 'grapheme', maxLength: 1500, size: 'max' });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 4 }),
      fc.integer({ min: 1, max: 2000 }),
      async (lines, cut) => {
        const bytes = Buffer.from(`${lines.join('\n')}\n\x04the end\n`);
        const written = (async () => {
          for (let i = 0; i < bytes.length; i += cut) await sink.write(bytes.subarray(i, i + cut));
        })();
        let received = '';
        for (let text = ''; text !== '?the end'; text = textOf(await receiver.next())) received += text;
        await written;
        expect(received).toBe(lines.join(''));
      },
    ),
    { numRuns: 50 },
  );
});

test('bytes that are no text come through in packets of full length', async () => {
  await using receiver = await startReceiver('binary');
  receiver.begin();
  await using sink = await openSerialSink({ type: 'syslog', socket: receiver.path });
  await sink.write(new Uint8Array(3000).fill(0x80));
  await sink.write(Buffer.from('\n'));
  let length = 0;
  while (length < 3000) length += (await receiver.next()).filter((byte) => byte === 0x80).length;
  expect(length).toBe(3000);
});

test('a system log that is started anew gets what follows', async () => {
  await using first = await startReceiver('anew');
  await using sink = await openSerialSink({ type: 'syslog', socket: first.path });
  await first.end();
  {
    await using second = await startReceiver('anew');
    second.begin();
    await sink.write(Buffer.from('still here\n'));
    expect(textOf(await second.next())).toBe('still here');
  }
  await expect(sink.write(Buffer.from('nobody reads this\n'))).rejects.toMatchObject({
    code: 'ECONNREFUSED',
  });
});

test('a host without a system log is told so, and tags that would not end are refused', async () => {
  await expect(openSerialSink({ type: 'syslog', socket: '/nonexistent/log' })).rejects.toMatchObject({
    code: 'BACKEND_FAILED',
    message: expect.stringContaining('No system log receives at /nonexistent/log'),
    cause: { code: 'ENOENT' },
  });
  for (const tag of ['', 'a b', 'a[1]: ', 'x'.repeat(33), 'ä', 'a\n']) {
    await expect(openSerialSink({ type: 'syslog', tag }), tag).rejects.toMatchObject({ code: 'BAD_OPTION' });
  }
});
