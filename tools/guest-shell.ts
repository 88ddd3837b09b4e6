import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** What the default guest prints when its shell waits for a line. */
export const PROMPT = 'tsvmm:~#';

/** A guest in a program of its own, at whose shell one types. */
export class GuestShell implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<unknown>;
  #output = '';
  #waiting: (() => void) | undefined;

  /** Takes the process over, whose standard input and output are the guest's console. */
  constructor(process: ChildProcessByStdio<Writable, Readable, null>) {
    this.#process = process;
    this.#process.stdout.on('data', (bytes: Buffer) => {
      this.#output += bytes.toString('latin1');
      this.#waiting?.();
    });
    this.#ended = new Promise((resolve) => this.#process.once('exit', resolve));
  }

  /** Resolves with everything up to where `text` was printed, from where this was last asked. */
  async until(text: string): Promise<string> {
    for (;;) {
      const index = this.#output.indexOf(text);
      if (index >= 0) {
        const before = this.#output.slice(0, index);
        this.#output = this.#output.slice(index + text.length);
        return before;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      const ended = this.#ended.then(() => {
        throw new Error(`The guest ended without '${text}': ${this.#output}`);
      });
      await Promise.race([promise, ended]);
    }
  }

  /** Types a line. */
  type(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Runs a line and resolves with what it printed. */
  async run(line: string): Promise<string> {
    // The terminal shows the line, so what marks its end must not stand in it.
    this.type(`${line}; echo E''ND`);
    await this.until("E''ND");
    return await this.until('END');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}
