import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertDisk, createDisk, openDisk } from '../packages/disk/src/index.ts';
import type { BenchmarkRow } from './run.ts';
import { median, seconds } from './support/timing.ts';

export const description = 'qcow2 by @tsvmm/disk, against qemu-img in turn with it';

const MIB = 2 ** 20;
const ROUNDS = 5;
/**
 * What random requests are spread over: 64 GiB, whose 8 MiB of L2 tables fit into the default caches of both sides. All
 * clusters are allocated, and hardly any is there, so that it fits into memory.
 */
const SPREAD = 2 ** 36;
/** How many, by their length: 32 MiB and 256 MiB, so that what a program does once does not count. */
const REQUESTS: Readonly<Record<number, number>> = { 4096: 8192, 65536: 4096 };
/** How often the peer makes all of them, where the first time is not to count. */
const PASSES = 5;

/** A way to go through a disk. */
interface Workload {
  readonly order: 'sequential' | 'random';
  readonly kind: 'read' | 'write';
  readonly length: number;
  /**
   * `cold`: the image was just opened, so that tables are read; `warm`: the same requests were made once before; `empty`:
   * writes go to an image that has nothing allocated.
   */
  readonly metadata: 'cold' | 'warm' | 'empty';
}

/** The runs of both sides take turns, so that whatever else the machine does hits both alike; medians are compared. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tsvmm-bench-'));
  try {
    for (const order of ['sequential', 'random'] as const) {
      for (const length of [4096, 65536]) {
        for (const metadata of ['cold', 'warm'] as const) {
          await measure(folder, { order, kind: 'read', length, metadata }, report);
        }
        for (const metadata of ['cold', 'warm', 'empty'] as const) {
          await measure(folder, { order, kind: 'write', length, metadata }, report);
        }
      }
    }
    await measureConversions(folder, report);
    await measureOpening(folder, report);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  folder: string,
  workload: Workload,
  report: (row: BenchmarkRow) => void,
): Promise<void> {
  const { order, kind, length, metadata } = workload;
  const image = join(folder, 'image.qcow2');
  const options = metadata === 'empty' ? [] : ['-o', 'preallocation=metadata'];
  const create = () =>
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image, String(sizeOf(workload))]);
  const ours: number[] = [];
  const once: number[] = [];
  const often: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    create();
    ours.push(await ourSeconds(image, workload));
    create();
    once.push(qemuSeconds(image, workload, 1));
    if (metadata !== 'warm') continue;
    create();
    often.push(qemuSeconds(image, workload, PASSES));
  }
  const count = countOf(length);
  // A warm pass is what one more pass adds, on average: of the medians, as what a single one adds is mostly noise.
  const theirs = metadata === 'warm' ? (median(often) - median(once)) / (PASSES - 1) : median(once);
  const rates = { ours: count / median(ours), peer: count / theirs };
  const state = metadata === 'empty' ? 'nothing allocated' : `${metadata} metadata`;
  const what = `${order} ${kind} of ${length / 1024} KiB, ${state}`;
  report({ what, ...rates, unit: 'requests/s', ratio: rates.ours / rates.peer });
}

/** QEMU takes steps of up to 2 GiB. */
const STRIDE = 1_618_033_988;

/** Bytes of the disk. Whoever goes on where it ends, at its start, makes the same requests again. */
function sizeOf({ order, length }: Workload): number {
  return order === 'sequential' ? length * countOf(length) : SPREAD;
}

/**
 * From one request to the next. A stride that is odd in units, of which there are as many as requests, visits them all in
 * no order, and then the first again.
 */
function strideOf({ order, length }: Workload): number {
  const unit = SPREAD / countOf(length);
  return order === 'sequential' ? length : (Math.floor(STRIDE / unit) | 1) * unit;
}

function countOf(length: number): number {
  return REQUESTS[length] ?? 1024;
}

/** Seconds that the requests take, one after the other, with a flush after writes; opening is not counted. */
async function ourSeconds(path: string, workload: Workload): Promise<number> {
  const { kind, length, metadata } = workload;
  const count = countOf(length);
  const size = sizeOf(workload);
  const stride = strideOf(workload);
  await using disk = await openDisk(path, { writable: true, format: 'qcow2' });
  const buffer = new Uint8Array(length).fill(7);
  const pass = async (): Promise<void> => {
    let position = 0;
    for (let i = 0; i < count; i++) {
      if (kind === 'read') await disk.read(position, buffer);
      else await disk.write(position, buffer);
      position = (position + stride) % size;
    }
    if (kind === 'write') await disk.flush();
  };
  if (metadata === 'warm') await pass();
  return await seconds(pass);
}

/**
 * The same by `qemu-img bench`, which times its requests itself: its start, and printing, are not in it, as they are in
 * the times of qemu-io. One request at a time, as here, by io_uring where it has that, since its threads are slower.
 * @param passes how often all requests are made
 */
function qemuSeconds(path: string, workload: Workload, passes: number): number {
  const { kind, length } = workload;
  const count = countOf(length);
  const args = ['bench', '-f', 'qcow2', '-i', qemuExecutor(path), '-c', String(count * passes), '-d', '1'];
  args.push('-s', String(length), '-S', String(strideOf(workload)));
  if (kind === 'write') args.push('-w', '--pattern=7', `--flush-interval=${count}`);
  const output = execFileSync('qemu-img', [...args, path], { encoding: 'utf8' });
  return Number(/Run completed in ([0-9.]+) seconds/.exec(output)?.[1]);
}

let executor: 'io_uring' | 'threads' | undefined;

/** The faster of QEMU's ways to do I/O that this one was built with. */
function qemuExecutor(path: string): 'io_uring' | 'threads' {
  if (executor === undefined) {
    const args = ['bench', '-f', 'qcow2', '-i', 'io_uring', '-c', '1', '-d', '1', path];
    executor = spawnSync('qemu-img', args).status === 0 ? 'io_uring' : 'threads';
  }
  return executor;
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
}

/** Opening the largest disk there is. */
async function measureOpening(folder: string, report: (row: BenchmarkRow) => void): Promise<void> {
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
