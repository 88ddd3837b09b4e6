import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Completion, Segments } from '../executor.ts';

/** Collects results by token, and lets a case wait for them. */
export class Recorder implements Completion {
  readonly results = new Map<number, number>();
  readonly #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  completed(token: number, result: number): void {
    if (this.results.has(token)) throw new Error(`request ${token} ended twice`);
    this.results.set(token, result);
    for (const waiter of this.#waiters) if (this.results.size >= waiter.count) waiter.resolve();
  }

  /** Resolves when `count` requests have ended. */
  async ended(count: number): Promise<ReadonlyMap<number, number>> {
    if (this.results.size < count) {
      await new Promise<void>((resolve) => this.#waiters.push({ count, resolve }));
    }
    return this.results;
  }
}

/** Segments of a memory of their own: pairs of offset and length. */
export function segmentsOf(memory: Uint8Array, ...pairs: readonly (readonly [number, number])[]): Segments {
  return {
    memory,
    pairs: Float64Array.from(pairs.flat()),
    count: pairs.length,
    byteLength: pairs.reduce((sum, [, length]) => sum + length, 0),
  };
}

/** A file in the folder, open for reading and writing. */
export function openFile(folder: string, contents: Uint8Array): { readonly fd: number } & Disposable {
  const path = join(folder, 'file');
  writeFileSync(path, contents);
  const fd = openSync(path, constants.O_RDWR);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

/** Bytes that differ from their neighbours. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}
