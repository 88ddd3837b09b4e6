import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDisk } from '../packages/disk/src/index.ts';
import { makeFilesystem, planFilesystem, scanDirectory } from '../packages/ext2/src/index.ts';
import type { BenchmarkRow } from './run.ts';
import { median, seconds } from './support/timing.ts';

export const description = 'ext4 images of a tree by @tsvmm/ext2, against mke2fs -d in turn with it';

const MIB = 2 ** 20;
const ROUNDS = 7;

/** A tree as packages have it: many small files, some large ones. */
interface Tree {
  readonly what: string;
  readonly directories: number;
  readonly filesEach: number;
  /** Bytes of the nth file. */
  length(index: number): number;
}

const TREES: readonly Tree[] = [
  {
    what: 'ext4 of 6,800 files, 140 MiB',
    directories: 200,
    filesEach: 34,
    // Most are a few KiB; one in a hundred has a megabyte and more.
    length: (index) => (index % 100 === 0 ? 1_400_000 : ((index * 7919) % 16_000) + 1),
  },
  { what: 'ext4 of 20,000 empty files', directories: 200, filesEach: 100, length: () => 0 },
  { what: 'ext4 of one file, 512 MiB', directories: 1, filesEach: 1, length: () => 512 * MIB },
];

/** Administrators' programs are not on everybody's PATH. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

const CLI = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
/** Bytes for each inode that both make unless told otherwise. */
const INODE_RATIO = 16_384;

/** Two ways to the same image. */
interface Comparison {
  readonly what: string;
  readonly ours: () => Promise<void>;
  readonly theirs: () => void;
}

/**
 * Each tree twice: by the library, where Node's start is not in our time (mke2fs's own start, some milliseconds, is in
 * its), and by the command line from start to end.
 */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  for (const tree of TREES) {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tsvmm-bench-'));
    try {
      const root = join(folder, 'root');
      const bytes = makeTree(root, tree);
      const files = tree.directories * tree.filesEach;
      const image = join(folder, 'image');
      const { size, inodes } = await planFilesystem(scanDirectory(root), { freeSpace: 16 * MIB });
      // Room for as many files by the usual ratio.
      const roomy = Math.max(size, Math.ceil((inodes * INODE_RATIO) / MIB) * MIB);
      const comparisons: readonly Comparison[] = [
        {
          what: tree.what,
          ours: () => makeOurs(root, image, size, inodes),
          theirs: () => mke2fs('-N', String(inodes), '-d', root, image, `${size / 1024}k`),
        },
        {
          what: `${tree.what}, the whole command`,
          ours: async () =>
            void execFileSync(process.execPath, [CLI, 'disk', 'from-dir', '-s', String(roomy), root, image]),
          theirs: () => mke2fs('-d', root, image, `${roomy / 1024}k`),
        },
      ];
      for (const comparison of comparisons) {
        const times = await measure(comparison, image);
        const amount = bytes > 0 ? bytes / MIB : files;
        const rates = { ours: amount / times.ours, peer: amount / times.theirs };
        const unit = bytes > 0 ? 'MiB/s' : 'files/s';
        report({ what: comparison.what, ...rates, unit, ratio: rates.ours / rates.peer });
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** Medians, in seconds. The two take turns, so that whatever else the machine does hits both alike. */
async function measure(
  { ours, theirs }: Comparison,
  image: string,
): Promise<{ readonly ours: number; readonly theirs: number }> {
  const times = { ours: [] as number[], theirs: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(image, { force: true });
    times.ours.push(await seconds(ours));
    rmSync(image, { force: true });
    times.theirs.push(await seconds(theirs));
  }
  return { ours: median(times.ours), theirs: median(times.theirs) };
}

function mke2fs(...args: readonly string[]): void {
  execFileSync('mke2fs', ['-q', '-t', 'ext4', ...args], { env: ENVIRONMENT, stdio: 'ignore' });
}

/** As `tsvmm disk from-dir --size` does; mke2fs needs to be told the size too. */
async function makeOurs(root: string, image: string, size: number, inodes: number): Promise<void> {
  await using disk = await createDisk(image, { format: 'raw', size });
  await makeFilesystem(disk, scanDirectory(root), { size, inodes });
}

/** @returns bytes of all files */
function makeTree(root: string, { directories, filesEach, length }: Tree): number {
  let sum = 0;
  for (let i = 0; i < directories * filesEach; i++) {
    const directory = join(root, `directory-${i % directories}`);
    if (i < directories) mkdirSync(directory, { recursive: true });
    const bytes = Buffer.alloc(length(i), `file ${i}: what is in it is not zero. `);
    writeFileSync(join(directory, `file-${i}`), bytes);
    sum += bytes.length;
  }
  return sum;
}
