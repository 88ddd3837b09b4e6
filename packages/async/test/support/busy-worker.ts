// Keeps an executor busy with transfers, syncs, polls and timeouts for as long as the thread lives.
import { parentPort, workerData } from 'node:worker_threads';
import { Readiness } from '@tsvmm/base';
import { type ExecutorKind, openExecutor } from '../../src/index.ts';

const { kind, file, event } = workerData as { kind: ExecutorKind; file: number; event: number };
const { executor } = openExecutor({ kind, capacity: 64 });
let ended = 0;
const again = {
  completed(token: number) {
    if (++ended === 1000) parentPort?.postMessage('busy');
    start(token);
  },
};

function start(token: number): void {
  const memory = new Uint8Array(65_536);
  const segments = { memory, pairs: Float64Array.of(0, memory.length), count: 1, byteLength: memory.length };
  if (token % 3 === 0) executor.read(file, token * 1024, segments, again, token);
  else if (token % 3 === 1) executor.write(file, token * 1024, segments, again, token);
  else executor.sync(file, true, again, token);
}
for (let token = 0; token < 32; token++) start(token);
for (let token = 32; token < 48; token++) {
  executor.poll(event, Readiness.readable, again, token);
  executor.timeout(1e9, again, token);
}
