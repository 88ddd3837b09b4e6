import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import type { ChildMessage } from './child.ts';
import { fuzzFolder } from './target.ts';

/** Seconds that an input may take: thousands of times what one does, also for a process that gets what others leave. */
const PATIENCE = 240;

/** Fuzzes one target: what it finds goes to the package's `fuzz/found/`. */
export class Campaign {
  failures = 0;
  #inputs = 0;
  #blocks = 0;
  readonly #packageName: string;
  readonly #target: string;
  readonly #current: string;
  readonly #interesting: Buffer[] = [];

  /** @param current file that always holds the bytes that are tried */
  constructor(packageName: string, target: string, current: string) {
    this.#packageName = packageName;
    this.#target = target;
    this.#current = current;
  }

  get summary(): string {
    const what = `${this.#inputs} inputs, ${this.#blocks} blocks of code reached, ${this.failures} failures`;
    return `${this.#packageName} ${this.#target}: ${what}`;
  }

  /** Goes on until time is up, with the next seed after each failure. */
  async run(firstSeed: number, milliseconds: number): Promise<void> {
    const deadline = performance.now() + milliseconds;
    for (let seed = firstSeed; performance.now() < deadline; seed++) await this.#runChild(seed, deadline);
    this.#save('interesting', this.#interesting);
  }

  /** Runs a child until it fails, hangs, dies or time is up. */
  async #runChild(seed: number, deadline: number): Promise<void> {
    const child = fork(
      fileURLToPath(new URL('child.ts', import.meta.url)),
      [this.#packageName, this.#target, String(seed), this.#current],
      { execArgv: ['--max-old-space-size=400'] },
    );
    const { promise, resolve } = Promise.withResolvers<void>();
    let before = 0;
    let failure = '';
    let isStopped = false;
    let lastSign = performance.now();
    const watch = setInterval(() => {
      const now = performance.now();
      if (now - lastSign > PATIENCE * 1000) failure = `an input took more than ${PATIENCE} s`;
      if (failure !== '' || now > deadline) {
        isStopped = true;
        child.kill('SIGKILL');
      }
    }, 200);
    child.on('message', (message: ChildMessage) => {
      lastSign = performance.now();
      if (message.kind === 'failure') failure = message.stack;
      else if (message.kind === 'interesting') this.#interesting.push(Buffer.from(message.bytes, 'base64'));
      else {
        this.#inputs += message.inputs - before;
        before = message.inputs;
        this.#blocks = Math.max(this.#blocks, message.blocks);
      }
    });
    child.on('exit', (code, signal) => {
      clearInterval(watch);
      if (failure === '' && !isStopped) failure = `the process ended by itself: ${signal ?? code}`;
      if (failure !== '') this.#report(failure, seed);
      resolve();
    });
    await promise;
  }

  #report(failure: string, seed: number): void {
    this.failures++;
    console.error(`${this.#target}, failure ${this.failures} (seed ${seed}): ${failure}`);
    this.#save('failure', [readFileSync(this.#current)]);
  }

  #save(kind: string, inputs: readonly Uint8Array[]): void {
    const folder = join(fuzzFolder(this.#packageName), 'found');
    mkdirSync(folder, { recursive: true });
    for (const [index, bytes] of inputs.entries()) {
      writeFileSync(join(folder, `${this.#target}-${kind}-${Date.now()}-${index}`), deflateRawSync(bytes));
    }
  }
}
