import { once } from 'node:events';
import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { VirtualMachine } from '../src/virtual-machine.ts';

/** A guest whose shell is typed at, and read from, by the host: its console writes to a file. */
export class Shell {
  readonly #vm: VirtualMachine;
  readonly #log: string;
  #seen = 0;

  constructor(vm: VirtualMachine, log: string) {
    this.#vm = vm;
    this.#log = log;
  }

  /** Types lines, and resolves with what they print when they are done. */
  async run(...lines: readonly string[]): Promise<string> {
    const watcher = watch(this.#log);
    try {
      let changed = once(watcher, 'change');
      // The terminal shows what is typed, so the mark must not stand there as it is printed.
      const text = `${lines.join('\n')}\necho do''ne\n`;
      await this.#vm.console?.input.write(new TextEncoder().encode(text));
      for (;;) {
        const output = (await readFile(this.#log, 'latin1')).replaceAll('\r', '');
        const end = /^done$/m.exec(output.slice(this.#seen));
        if (end) {
          const printed = output.slice(this.#seen, this.#seen + end.index);
          this.#seen += end.index + end[0].length;
          return printed;
        }
        await changed;
        changed = once(watcher, 'change');
      }
    } finally {
      watcher.close();
    }
  }
}
