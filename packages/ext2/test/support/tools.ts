import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDisk } from '@tsvmm/disk';
import {
  type Entry,
  type FilesystemSummary,
  type MakeOptions,
  makeFilesystem,
  type PlanOptions,
  planFilesystem,
} from '../../src/index.ts';

/** Memory where there is some. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
/** Administrators' programs are not on everybody's PATH. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C' };

/** A folder that is gone afterwards. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(PLACE, 'tsvmm-ext2-'));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function run(
  program: string,
  args: readonly string[],
  options: { readonly input?: string } = {},
): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    env: ENVIRONMENT,
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
    ...options,
  });
}

/** What e2fsck has to complain about: nothing, for a sound image. */
export function complaints(image: string): string {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-fn', image], {
    encoding: 'utf8',
    env: ENVIRONMENT,
  });
  const lines = stdout
    .split('\n')
    .filter((line) => !/^Pass [1-5]: |\d+\/\d+ files \(.*\d+\/\d+ blocks$|^$/.test(line));
  const rest = stderr.split('\n').filter((line) => !/^e2fsck \d|^$/.test(line));
  return [...lines, ...rest, ...(status === 0 ? [] : [`status ${status}`])].join('\n');
}

/** What debugfs answers to commands. */
export function debugfs(image: string, ...commands: readonly string[]): string {
  return run('debugfs', ['-f', '-', image], { input: `${commands.join('\n')}\n` }).replace(
    /^debugfs: .*\n/gm,
    '',
  );
}

/** Copies all files out of an image. */
export function extract(image: string, folder: string): void {
  run('debugfs', ['-R', `rdump / ${folder}`, image]);
}

/** A plan for entries, and a raw image made by it. */
export async function makeImage(
  path: string,
  entries: () => AsyncIterable<Entry> | Iterable<Entry>,
  options: Omit<MakeOptions, 'size'> & PlanOptions = {},
): Promise<FilesystemSummary> {
  const plan = await planFilesystem(entries(), options);
  await using disk = await createDisk(path, { format: 'raw', size: plan.size });
  return await makeFilesystem(disk, entries(), { ...options, ...plan });
}

/** Runs a Python program, which knows tar archives from elsewhere. */
export function python(program: string, ...args: readonly string[]): string {
  return run('python3', ['-c', program, ...args]);
}
