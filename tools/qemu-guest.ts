import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** What the default guest prints when its shell waits for a line. */
export const PROMPT = 'tsvmm:~#';

/** A riscv64 guest in QEMU, whose memory vhost-user back ends can map, and at whose shell one types. */
export class QemuGuest implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<unknown>;
  #output = '';
  #waiting: (() => void) | undefined;

  constructor(
    { kernel, initrd }: { readonly kernel: string; readonly initrd: string },
    options: readonly string[],
  ) {
    this.#process = spawn(
      'qemu-system-riscv64',
      [
        ...['-M', 'virt,memory-backend=ram', '-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio'],
        // Its back ends map the guest's memory.
        ...['-m', '256M', '-object', 'memory-backend-memfd,id=ram,size=256M,share=on'],
        ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet', ...options],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
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
        throw new Error(`QEMU ended without '${text}': ${this.#output}`);
      });
      await Promise.race([promise, ended]);
    }
  }

  /** Runs a line and resolves with what it printed. */
  async run(line: string): Promise<string> {
    // The terminal shows the line, so what marks its end must not stand in it.
    this.#process.stdin.write(`${line}; echo E''ND\n`);
    await this.until("E''ND");
    return await this.until('END');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}
