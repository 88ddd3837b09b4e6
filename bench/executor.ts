/** 4 KiB reads at random places of a file: our executor against fio's io_uring engine. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Executor, openExecutor } from '../packages/async/src/index.ts';
import type { BenchmarkRow } from './run.ts';

export const description = '4 KiB random reads on io_uring and on threads, against fio with io_uring';

const SIZE = 256 * 2 ** 20;
const BLOCK = 4096;
const SECONDS = 2;
const ROUNDS = 3;

export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-bench-'));
  const path = join(folder, 'file');
  writeFileSync(path, Buffer.alloc(SIZE, 1));
  try {
    for (const direct of [false, true]) {
      for (const depth of [1, 32]) {
        for (const kind of ['uring', 'epoll'] as const) {
          let ours = 0;
          let peer = 0;
          // In turns, so that what else the host does hits both; the best of each.
          for (let round = 0; round < ROUNDS; round++) {
            peer = Math.max(peer, fio(path, depth, direct));
            await using executor = openExecutor({ kind, capacity: depth }).executor;
            ours = Math.max(ours, await reads(executor, path, depth, direct));
          }
          const what = `${kind}, depth ${depth}, ${direct ? 'O_DIRECT' : 'page cache'}`;
          report({ what, ours, peer, unit: 'reads/s', ratio: ours / peer });
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Reads a second that fio makes. */
function fio(path: string, depth: number, direct: boolean): number {
  const output = execFileSync(
    'fio',
    [
      ...['--name=reads', `--filename=${path}`, '--rw=randread', `--bs=${BLOCK}`, `--iodepth=${depth}`],
      ...['--ioengine=io_uring', `--direct=${direct ? 1 : 0}`, '--norandommap', '--gtod_reduce=1'],
      // Without it, fio would first empty the page cache of the file.
      ...['--invalidate=0', '--time_based', `--runtime=${SECONDS}`, '--output-format=json'],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const { jobs } = JSON.parse(output) as { jobs: readonly { read: { iops: number } }[] };
  return jobs[0]?.read.iops ?? 0;
}

/** Reads a second that an executor makes, each started when one before it has ended. */
async function reads(executor: Executor, path: string, depth: number, direct: boolean): Promise<number> {
  const fd = openSync(path, constants.O_RDONLY | (direct ? constants.O_DIRECT : 0));
  // A WebAssembly memory starts at a page, as O_DIRECT wants it.
  const pages = Math.ceil((depth * BLOCK) / 65_536);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const memory = new Uint8Array(buffer);
  const segments = Array.from({ length: depth }, (_, slot) => ({
    memory,
    pairs: Float64Array.of(slot * BLOCK, BLOCK),
    count: 1,
    byteLength: BLOCK,
  }));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const start = performance.now();
  let ended = 0;
  let running = depth;
  const completion = {
    completed(slot: number, result: number) {
      if (result !== BLOCK) reject(new Error(`a read ended with ${result}`));
      ended++;
      const now = performance.now();
      if (now - start < SECONDS * 1000) read(slot);
      else if (--running === 0) resolve((1000 * ended) / (now - start));
    },
  };
  const read = (slot: number) => {
    const position = BLOCK * Math.floor((Math.random() * SIZE) / BLOCK);
    const place = segments[slot];
    if (place) executor.read(fd, position, place, completion, slot);
  };
  try {
    for (let slot = 0; slot < depth; slot++) read(slot);
    return await promise;
  } finally {
    closeSync(fd);
  }
}
