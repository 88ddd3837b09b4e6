import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BenchmarkRow } from './run.ts';

const BIN = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const ROUNDS = 30;
const WARM_UP_ROUNDS = 3;

export const description = 'commands of tsvmm that do no work, against node that does none';

/** The commands are run in turn, so that whatever else the machine does hits all of them alike. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  const plain = ['-e', '0'];
  const commands: ReadonlyMap<string, readonly string[]> = new Map([
    ['tsvmm --help', [BIN, '--help']],
    ['tsvmm run --help', [BIN, 'run', '--help']],
    ['tsvmm version', [BIN, 'version']],
  ]);
  const times = new Map<readonly string[], number[]>([plain, ...commands.values()].map((args) => [args, []]));
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    for (const [args, samples] of times) {
      const time = timeOf(args);
      if (round >= 0) samples.push(time);
    }
  }
  const peer = median(times.get(plain) ?? []);
  for (const [what, args] of commands) {
    const ours = median(times.get(args) ?? []);
    report({ what, ours, peer, unit: 'ms', ratio: peer / ours });
  }
}

/** Milliseconds from the start of node to its end. */
function timeOf(args: readonly string[]): number {
  const start = performance.now();
  execFileSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - start;
}

function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
