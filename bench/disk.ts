import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertDisk, createDisk, openDisk } from '../packages/disk/src/index.ts';
import type { BenchmarkRow } from './run.ts';

export const description = 'qcow2 by @tsvmm/disk, against qemu-io and qemu-img in turn with it';

const MIB = 2 ** 20;
const ROUNDS = 5;
/** What requests are spread over. */
const SIZE = 256 * MIB;
/** How many, by their length. */
const REQUESTS: Readonly<Record<number, number>> = { 4096: 8192, 65536: 2048 };

/** A way to go through a disk. */
interface Workload {
  readonly order: 'sequential' | 'random';
  readonly kind: 'read' | 'write';
  readonly length: number;
  /** Writes go to an image that has nothing allocated. */
  readonly isEmpty?: boolean;
}

/** The runs of both sides take turns, so that whatever else the machine does hits both alike; medians are compared. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tsvmm-bench-'));
  try {
    for (const length of [4096, 65536]) {
      for (const order of ['sequential', 'random'] as const) {
        await measure(folder, { order, kind: 'read', length }, report);
        await measure(folder, { order, kind: 'write', length }, report);
        await measure(folder, { order, kind: 'write', length, isEmpty: true }, report);
      }
    }
    await measureConversions(folder, report);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  folder: string,
  workload: Workload,
  report: (row: BenchmarkRow) => void,
): Promise<void> {
  const { order, kind, length, isEmpty = false } = workload;
  const positions = positionsOf(workload);
  const full = join(folder, 'full.qcow2');
  const image = join(folder, 'image.qcow2');
  if (!existsSync(full)) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', full, String(SIZE)]);
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P 5 0 ${SIZE}`, full], { stdio: 'ignore' });
  }
  const prepare = () => {
    if (isEmpty) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(SIZE)]);
    return isEmpty ? image : full;
  };
  const commands = positions.map(
    (position) => `${kind} ${kind === 'write' ? '-P 7 ' : ''}${position} ${length}`,
  );
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await ourSpeed(prepare(), kind, positions, length));
    theirs.push(qemuSpeed(prepare(), commands));
  }
  const what = `${order} ${kind} of ${length / 1024} KiB${isEmpty ? ', nothing allocated' : ''}`;
  const rates = { ours: positions.length / median(ours), peer: positions.length / median(theirs) };
  report({ what, ...rates, unit: 'requests/s', ratio: rates.ours / rates.peer });
}

function positionsOf({ order, length }: Workload): readonly number[] {
  const count = REQUESTS[length] ?? 1024;
  const slots = SIZE / length;
  // A stride that is coprime to the slots visits them in no order, and each at most once.
  return Array.from(
    { length: count },
    (_, i) => (order === 'sequential' ? i : (i * 40_503 + 7919) % slots) * length,
  );
}

/** Seconds that the requests take, with a flush at the end; opening is not counted. */
async function ourSpeed(
  path: string,
  kind: Workload['kind'],
  positions: readonly number[],
  length: number,
): Promise<number> {
  await using disk = await openDisk(path, { writable: true, format: 'qcow2' });
  const buffer = new Uint8Array(length).fill(7);
  const start = performance.now();
  if (kind === 'read') for (const position of positions) await disk.read(position, buffer);
  else for (const position of positions) await disk.write(position, buffer);
  await disk.flush();
  return (performance.now() - start) / 1000;
}

/**
 * The same by qemu-io, less what it takes to start, read as many commands and stop. What it does for each request beside
 * the request (allocate and fill a buffer, print a line) stays in its time.
 */
function qemuSpeed(path: string, commands: readonly string[]): number {
  const time = (input: readonly string[]) => {
    const start = performance.now();
    execFileSync('qemu-io', ['-f', 'qcow2', path], {
      input: `${input.join('\n')}\nquit\n`,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    return (performance.now() - start) / 1000;
  };
  const idle = time(commands.map(() => 'length'));
  return Math.max(1e-6, time([...commands, 'flush']) - idle);
}

/** Half of it data, a quarter zeroes that are stored and a quarter hole. */
function makeRaw(path: string): number {
  const size = 512 * MIB;
  const file = openSync(path, 'w');
  const block = randomBytes(MIB);
  const zeroes = new Uint8Array(MIB);
  for (let at = 0; at < size; at += 4 * MIB) {
    writeSync(file, block, 0, MIB, at);
    writeSync(file, block, 0, MIB, at + MIB);
    writeSync(file, zeroes, 0, MIB, at + 2 * MIB);
  }
  writeSync(file, zeroes, 0, 1, size - 1);
  closeSync(file);
  return size;
}

async function measureConversions(folder: string, report: (row: BenchmarkRow) => void): Promise<void> {
  const raw = join(folder, 'raw');
  const size = makeRaw(raw);
  const qcow2 = join(folder, 'converted.qcow2');
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2]);
  const out = join(folder, 'out');
  const conversions: readonly (readonly [string, () => Promise<void>, readonly string[]])[] = [
    [
      'convert raw to qcow2',
      () => convertDisk(raw, out, { destination: { format: 'qcow2' } }),
      ['-f', 'raw', '-O', 'qcow2', raw, out],
    ],
    [
      'convert qcow2 to raw',
      () => convertDisk(qcow2, out, { destination: { format: 'raw' } }),
      ['-f', 'qcow2', '-O', 'raw', qcow2, out],
    ],
    [
      'convert raw to compressed qcow2 (zstd)',
      () =>
        convertDisk(raw, out, { destination: { format: 'qcow2', compressionType: 'zstd' }, compress: true }),
      ['-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd', raw, out],
    ],
  ];
  for (const [what, convert, args] of conversions) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      rmSync(out, { force: true });
      ours.push(await seconds(convert));
      rmSync(out, { force: true });
      theirs.push(await seconds(async () => void execFileSync('qemu-img', ['convert', ...args])));
    }
    rmSync(out, { force: true });
    const rates = { ours: size / MIB / median(ours), peer: size / MIB / median(theirs) };
    report({ what, ...rates, unit: 'MiB/s', ratio: rates.ours / rates.peer });
  }
  // Opening, the largest there is.
  const large = join(folder, 'large.qcow2');
  await (await createDisk(large, { format: 'qcow2', size: 2 ** 44 }))[Symbol.asyncDispose]();
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await seconds(async () => await (await openDisk(large))[Symbol.asyncDispose]()));
    theirs.push(
      await seconds(async () => void execFileSync('qemu-img', ['info', large], { stdio: 'ignore' })),
    );
  }
  const rates = { ours: 1 / median(ours), peer: 1 / median(theirs) };
  report({
    what: 'open 16 TiB (peer: all of qemu-img info)',
    ...rates,
    unit: 'opens/s',
    ratio: rates.ours / rates.peer,
  });
}

async function seconds(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return (performance.now() - start) / 1000;
}

function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
