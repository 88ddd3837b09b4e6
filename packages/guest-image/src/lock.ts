import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { GuestImageError } from './errors.ts';
import { run } from './process.ts';

/**
 * Holds an exclusive lock on a file, among processes, until disposed. Waits for whoever has it; `onWait` is told.
 *
 * Node has no flock(2), but the lock belongs to the open file description: flock(1) gets ours as an inherited
 * descriptor, locks it and goes, and the kernel lets go when we close it or end, however that happens. The file stays
 * there: removing it would let a third process lock a new file of the same name beside a waiting second one.
 * @throws {GuestImageError} NO_APT without flock(1), which is on every Debian system
 */
export async function lockFile(
  path: string,
  onWait: () => void,
  signal?: AbortSignal,
): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'a');
  try {
    if (!(await flock(file, ['-n'], signal))) {
      onWait();
      if (!(await flock(file, [], signal))) {
        throw new GuestImageError('FETCH_FAILED', `${path} cannot be locked.`);
      }
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

async function flock(file: FileHandle, options: readonly string[], signal?: AbortSignal): Promise<boolean> {
  const { status } = await run('flock', ['-x', ...options, '3'], { inheritedFd: file.fd, signal });
  return status === 0;
}
