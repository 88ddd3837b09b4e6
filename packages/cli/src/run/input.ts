import type { Readable } from 'node:stream';
import { type EscapeAction, EscapeFilter } from './escape.ts';

/** Bytes that wait for the guest before reading is paused: from a pipe, little, as its writer can wait. */
const PIPE_LIMIT = 64 * 1024;
/** From a terminal, so much that a guest which does not read does not keep Ctrl-A x from being seen. */
const TERMINAL_LIMIT = 1024 * 1024;

/** What becomes of the input. */
export interface InputTarget {
  /** Gives bytes to the guest; settles when there is room for more, rejects when the guest is gone. */
  write(bytes: Uint8Array): Promise<void>;
  /** An escape sequence was typed. */
  onAction(action: EscapeAction): void;
}

/**
 * Carries standard input to the guest, in order and without loss, no faster than the guest takes it. On a terminal,
 * escape sequences are taken out. The end of the input is not told to the guest.
 */
export class InputPump implements Disposable {
  readonly #source: Readable;
  readonly #target: InputTarget;
  readonly #filter: EscapeFilter | undefined;
  readonly #limit: number;
  readonly #queue: Uint8Array[] = [];
  #waiting = 0;
  #writing = false;
  #closed = false;

  /** Starts to read `source`. */
  constructor(source: Readable, target: InputTarget, options: { readonly terminal: boolean }) {
    this.#source = source;
    this.#target = target;
    this.#filter = options.terminal ? new EscapeFilter() : undefined;
    this.#limit = options.terminal ? TERMINAL_LIMIT : PIPE_LIMIT;
    source.on('data', this.#onData);
    // A terminal that hangs up or a directory as input: as good as the end of the input.
    source.on('error', this.#onError);
  }

  /** Stops reading. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#source.off('data', this.#onData);
    this.#source.pause();
  }

  readonly #onError = (): void => {};

  readonly #onData = (bytes: Buffer): void => {
    const filtered = this.#filter?.push(bytes);
    this.#push(filtered?.forward ?? bytes);
    for (const action of filtered?.actions ?? []) this.#target.onAction(action);
  };

  #push(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#closed) return;
    this.#queue.push(bytes);
    this.#waiting += bytes.length;
    if (this.#waiting > this.#limit) this.#source.pause();
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        await this.#target.write(bytes);
        this.#waiting -= bytes.length;
        if (this.#waiting <= this.#limit && !this.#closed && this.#source.isPaused()) this.#source.resume();
      }
    } catch {
      // The guest is gone, and whoever waits for its end tells why.
      this[Symbol.dispose]();
    } finally {
      this.#writing = false;
    }
  }
}
