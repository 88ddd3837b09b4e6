import { writeSync } from 'node:fs';

const waiting = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes text to a file descriptor at once and whole, also when it is a pipe or terminal that does not block.
 *
 * @returns false if the reader is gone
 * @throws the system's error for every other failure
 */
export function writeFully(fd: number, text: string): boolean {
  const bytes = Buffer.from(text);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return false;
      if (code !== 'EAGAIN') throw error;
      // Someone who shares the descriptor made it non-blocking; its reader has to catch up.
      Atomics.wait(waiting, 0, 0, 1);
    }
  }
  return true;
}

/** Writes a result to standard output. A reader that went away, as `head` does, is no failure. */
export function print(text: string): void {
  writeFully(1, text);
}
