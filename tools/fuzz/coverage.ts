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

  /** Whether something ran since the last call that never ran before. */
  hasNews(): boolean {
    const before = this.#seen.size;
    this.#session.post('Profiler.takePreciseCoverage', (_error, coverage) => {
      // The session answers before post returns: it is in this thread.
      if (coverage) this.#note(coverage);
    });
    return this.#seen.size > before;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  #note({ result }: Profiler.TakePreciseCoverageReturnType): void {
    for (const { url, functions } of result) {
      if (!url.startsWith(this.#folder)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          // How often, roughly: loops that run once, a few times and many times differ.
          if (count > 0)
            this.#seen.add(`${url}:${startOffset}:${endOffset}:${Math.min(Math.floor(Math.log2(count)), 8)}`);
        }
      }
    }
  }
}
