import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { SystemLog } from '../src/syslog.ts';

/** Prints what it gets as a datagram at the path, a line each. */
const RECEIVER = `
import socket, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind(sys.argv[1])
print("ready", flush=True)
while True:
    print(log.recv(65536).decode(), flush=True)
`;

test('messages arrive with their severity and tag', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-syslog-'));
  const path = join(directory, 'log');
  const receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]();
    expect(await lines.next()).toMatchObject({ value: 'ready' });
    const log = new SystemLog('machine', path);
    log.write('error', 'one\ntwo');
    log.write('info', 'three');
    const received = [await lines.next(), await lines.next(), await lines.next()].map(({ value }) => value);
    const tag = `machine\\[${process.pid}\\]: `;
    for (const [index, [priority, text]] of [
      [11, 'one'],
      [11, 'two'],
      [14, 'three'],
    ].entries()) {
      expect(received[index]).toMatch(new RegExp(`^<${priority}>.*${tag}${text}$`));
    }
  } finally {
    receiver.kill();
    await once(receiver, 'exit');
    rmSync(directory, { recursive: true });
  }
});

test('a host without a system log is no failure', () => {
  new SystemLog('machine', '/nonexistent/log').write('error', 'nobody reads this');
});
