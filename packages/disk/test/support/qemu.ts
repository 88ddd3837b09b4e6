import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Memory where there is some: these tests sync after every other step. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A folder that is gone afterwards. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(PLACE, 'tsvmm-disk-'));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export function qemuImg(...args: readonly string[]): string {
  return run('qemu-img', args);
}

/** Runs commands such as `write -P 7 0 64k` on an image. */
export function qemuIo(path: string, commands: readonly string[], options: readonly string[] = []): string {
  const output = run('qemu-io', [...options, ...commands.flatMap((command) => ['-c', command]), path]);
  if (/failed|Pattern verification/.test(output)) throw new Error(output);
  return output;
}

export interface QemuCheck {
  readonly corruptions?: number;
  readonly leaks?: number;
  readonly 'check-errors': number;
  readonly 'image-end-offset'?: number;
  readonly 'allocated-clusters'?: number;
  readonly 'total-clusters'?: number;
  readonly 'compressed-clusters'?: number;
  readonly 'fragmented-clusters'?: number;
}

/** What `qemu-img check` says, whatever its exit status. */
export function qemuCheck(path: string): QemuCheck {
  try {
    return JSON.parse(qemuImg('check', '-f', 'qcow2', '--output=json', path));
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    if (!stdout?.startsWith('{')) throw new Error(`qemu-img check: ${stderr}`);
    return JSON.parse(stdout);
  }
}
