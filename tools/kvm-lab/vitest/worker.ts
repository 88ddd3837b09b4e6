/**
 * A worker of Vitest that lives in an L1: it talks to `pool.ts` over the port that LAB_CHANNEL names. Test files and what
 * they import are transformed on the host, so that L1 needs nothing but Node.
 */
import { createReadStream, openSync, writeSync } from 'node:fs';
import { init, runBaseTests, setupEnvironment } from 'vitest/worker';
import { encodeMessage, MessageReader } from './messages.ts';
import { READY } from './pool.ts';

// A port can be opened once: one descriptor for both directions.
const port = openSync(process.env.LAB_CHANNEL ?? '', 'r+');
const listeners = new Set<(message: unknown) => void>();
const reader = new MessageReader();
const exit = process.exit.bind(process);

createReadStream('', { fd: port, autoClose: false })
  .on('data', (chunk) => {
    for (const message of reader.push(Buffer.from(chunk))) {
      if (message === undefined) exit(0);
      for (const listener of listeners) listener(message);
    }
  })
  // The host has gone.
  .on('end', () => exit(1));

function post(message: unknown): void {
  const frame = encodeMessage(message);
  for (let at = 0; at < frame.length; ) at += writeSync(port, frame, at);
}

init({
  post,
  on: (listener) => listeners.add(listener),
  off: (listener) => listeners.delete(listener),
  runTests: (state, traces) => runBaseTests('run', state, traces),
  collectTests: (state, traces) => runBaseTests('collect', state, traces),
  setup: setupEnvironment,
});
post(READY);
