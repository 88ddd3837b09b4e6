import { type Profiler, Session } from 'node:inspector';

/** Which blocks of the package's code ran, by V8's own counters. */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #folder: string;
  readonly #seen = new Set<string>();

  /** @param folder where the files lie that count, as a URL */
  constructor(folder: string) {
    this.#folder = folder;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Blocks seen since the start. */
  get size(): number {
    return this.#seen.size;
  }

  /** Whether something ran since the last call, of this or of {@link takeNews}, that was not taken yet. */
  hasNews(): boolean {
    return this.#ran().some((block) => !this.#seen.has(block));
  }

  /** The same, and takes it: it is no news any more. */
  takeNews(): boolean {
    const before = this.#seen.size;
    for (const block of this.#ran()) this.#seen.add(block);
    return this.#seen.size > before;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  #ran(): readonly string[] {
    let blocks: readonly string[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (_error, coverage) => {
      // The session answers before post returns: it is in this thread.
      if (coverage) blocks = this.#blocks(coverage);
    });
    return blocks;
  }

  #blocks({ result }: Profiler.TakePreciseCoverageReturnType): readonly string[] {
    const blocks: string[] = [];
    for (const { url, functions } of result) {
      if (!url.startsWith(this.#folder)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          // How often, roughly: loops that run once, a few times and many times differ.
          if (count > 0)
            blocks.push(`${url}:${startOffset}:${endOffset}:${Math.min(Math.floor(Math.log2(count)), 8)}`);
        }
      }
    }
    return blocks;
  }
}
