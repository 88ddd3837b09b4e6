import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { riscv64Image } from '../packages/vmm/test/bare-metal.ts';
import type { BenchmarkRow } from './run.ts';
import { childrenOf } from './support/processor-time.ts';
import { median } from './support/timing.ts';

const BIN = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const ROUNDS = 15;
const DISKS = 3;

/** SBI's debug console (DBCN) writes one byte; then nothing happens any more. */
const KERNEL = [
  0x4442_48b7, // lui a7, 0x44424
  0x34e8_8893, // addi a7, a7, 0x34e
  0x0020_0813, // li a6, 2: write a byte
  0x0210_0513, // li a0, '!'
  0x0000_0073, // ecall
  0x0000_006f, // j .
];

export const description =
  'from the start of tsvmm run to the kernel with six devices, each in a jailed process, against one thread for all';

export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-bench-start-'));
  const kernel = join(folder.path, 'Image');
  writeFileSync(kernel, riscv64Image(KERNEL));
  const disks = Array.from({ length: DISKS }, (_, index) => join(folder.path, `disk${index}.img`));
  for (const disk of disks) {
    writeFileSync(disk, '');
    truncateSync(disk, 2 ** 20);
  }
  const args = [
    ...['run', '--serial', 'hardware=virtio-console,type=stdout,console'],
    ...disks.flatMap((disk) => ['-b', disk]),
    kernel,
  ];
  const [jailed, thread]: [number[], number[]] = [[], []];
  let sizes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await started(args, (time, child) => {
      jailed.push(time);
      sizes = childrenOf(child.pid ?? -1).map(proportionalSize);
    });
    await started([...args.slice(0, 1), '--disable-sandbox', ...args.slice(1)], (time) => thread.push(time));
  }
  const [ours, peer] = [median(jailed), median(thread)];
  report({ what: 'start to kernel entry', ours, peer, unit: 'ms', ratio: peer / ours });
  const idle = await emptyNode();
  const size = sizes.reduce((sum, each) => sum + each, 0) / sizes.length;
  const what = `memory of a device's process, of ${sizes.length} (PSS), against node without work`;
  report({ what, ours: size, peer: idle, unit: 'MiB', ratio: idle / size });
}

/** Runs tsvmm until its kernel has written, and says how many milliseconds that took. */
async function started(
  args: readonly string[],
  then: (time: number, child: ChildProcess) => void,
): Promise<void> {
  const start = performance.now();
  const child = spawn(process.execPath, [BIN, '--log-level=warn', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', () => reject(new Error('tsvmm ended before its kernel began')));
  });
  then(performance.now() - start, child);
  child.kill('SIGKILL');
  await ended;
}

/** MiB that a process takes, of what it shares with others its part (proc_pid_smaps(5)). */
function proportionalSize(pid: number): number {
  const [, kilobytes] = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

/** The same of as many nodes that do nothing. */
async function emptyNode(): Promise<number> {
  const children = Array.from({ length: DISKS + 3 }, () =>
    spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1e6)'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  await Promise.all(children.map(({ stdout }) => new Promise((resolve) => stdout.once('data', resolve))));
  const sizes = children.map(({ pid = -1 }) => proportionalSize(pid));
  for (const child of children) child.kill('SIGKILL');
  return sizes.reduce((sum, each) => sum + each, 0) / sizes.length;
}
