import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

/**
 * The runs of both sides take turns; medians are compared. Node's start is not in our time, mke2fs's start is in its own
 * (some milliseconds).
 */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  for (const tree of TREES) {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tsvmm-bench-'));
    try {
      const root = join(folder, 'root');
      const bytes = makeTree(root, tree);
      const image = join(folder, 'image');
      const { size, inodes } = await planFilesystem(scanDirectory(root), { freeSpace: 16 * MIB });
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        rmSync(image, { force: true });
        ours.push(await seconds(() => makeOurs(root, image, size, inodes)));
        rmSync(image, { force: true });
        const args = ['-q', '-t', 'ext4', '-N', String(inodes), '-d', root, image, `${size / 1024}k`];
        theirs.push(await seconds(() => execFileSync('mke2fs', args, { env: ENVIRONMENT, stdio: 'ignore' })));
      }
      const amount = bytes > 0 ? bytes / MIB : tree.directories * tree.filesEach;
      const rates = { ours: amount / median(ours), peer: amount / median(theirs) };
      const unit = bytes > 0 ? 'MiB/s' : 'files/s';
      report({ what: tree.what, ...rates, unit, ratio: rates.ours / rates.peer });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
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
