import { stripVTControlCharacters } from 'node:util';
import { type FileDescriptor, Readiness, readAvailable, Watcher } from '@tsvmm/base';

/** Bytes kept of what a process says: enough for an error and its stack. */
const CAPACITY = 4096;

/** The last of what a process writes to its standard output and error. The process never waits for it to be read. */
export class OutputTail implements Disposable {
  readonly #reader: FileDescriptor;
  readonly #watcher: Watcher;
  readonly #chunk = Buffer.alloc(CAPACITY);
  #tail = Buffer.alloc(0);

  /** Takes the reading end of a pipe over. */
  constructor(reader: FileDescriptor) {
    this.#reader = reader;
    this.#watcher = new Watcher(reader.number, Readiness.readable, () => this.#read()).unref();
  }

  /** What was written last, with nothing that moves a terminal's cursor. */
  get text(): string {
    if (this.#reader.isOpen) this.#read();
    return stripVTControlCharacters(this.#tail.toString('utf8'))
      .replace(/[^\P{Cc}\n\t]/gu, '')
      .trim();
  }

  #read(): void {
    for (;;) {
      const length = readAvailable(this.#reader.number, this.#chunk);
      if (length < 0) return;
      if (length === 0) {
        this[Symbol.dispose]();
        return;
      }
      const joined = Buffer.concat([this.#tail, this.#chunk.subarray(0, length)]);
      this.#tail = joined.subarray(Math.max(0, joined.length - CAPACITY));
    }
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    this.#reader[Symbol.dispose]();
  }
}
