import { setImmediate as nextTurn } from 'node:timers/promises';
import { FilesystemBuilder, type FilesystemSummary } from './builder.ts';
import type { Entry } from './entry.ts';
import { Ext2Error } from './errors.ts';
import { type FilesystemOptions, resolveOptions } from './options.ts';
import type { ImageTarget } from './target.ts';

/** How far the work is. */
export interface MakeProgress {
  /** Bytes of file contents. */
  readonly bytes: number;
  readonly entries: number;
}

export interface MakeOptions extends FilesystemOptions {
  /** Bytes; all of the target unless given. */
  readonly size?: number;
  /** Called a few times a second. */
  readonly onProgress?: (progress: MakeProgress) => void;
  readonly signal?: AbortSignal;
}

/** Milliseconds of work at a time. */
const TURN = 50;

/**
 * Makes a file system of what the entries say. They are taken one after the other, and contents go through buffers of a
 * fixed size; what is kept is some hundred bytes for each name.
 *
 * When it fails, the target has no superblock of a new file system, but may have lost what it had.
 * @throws Ext2Error; what the target, the entries or the signal throw
 */
export async function makeFilesystem(
  target: ImageTarget,
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  options: MakeOptions = {},
): Promise<FilesystemSummary> {
  const { size = target.size, onProgress, signal } = options;
  if (size > target.size) {
    throw new Ext2Error('BAD_OPTION', `${size} bytes do not fit into an image of ${target.size} bytes.`);
  }
  let count = 0;
  let done = 0;
  let turnStart = performance.now();
  // Sources and targets may never wait for the event loop; others have to run in between all the same.
  const pace = {
    step(bytes: number): Promise<void> | undefined {
      done += bytes;
      signal?.throwIfAborted();
      if (performance.now() - turnStart < TURN) return undefined;
      turnStart = performance.now();
      onProgress?.({ bytes: done, entries: count });
      return nextTurn();
    },
  };
  const builder = await FilesystemBuilder.create(target, resolveOptions(options, size), pace);
  for await (const entry of entries) {
    await builder.add(entry);
    count++;
    await pace.step(0);
  }
  onProgress?.({ bytes: done, entries: count });
  return await builder.finish();
}
