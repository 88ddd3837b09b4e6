import { EventEmitter, once } from 'node:events';

/** A stream of bytes in which marks end what belongs to one reader; see `guest/serve`. */
export class MarkedStream {
  readonly #arrived = new EventEmitter();
  #held: Buffer = Buffer.alloc(0);

  /** More of the stream. */
  push(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    this.#arrived.emit('chunk');
  }

  /**
   * Hands out what comes before a mark, as it comes.
   * @param mark of which no proper beginning recurs within it
   * @returns the rest of the mark's line
   * @throws the reason of `signal`, when it is aborted before
   */
  async readTo(mark: string, onData: (data: Buffer) => void, signal: AbortSignal): Promise<string> {
    for (;;) {
      const at = this.#held.indexOf(mark);
      const lineEnd = at < 0 ? -1 : this.#held.indexOf('\n', at);
      if (lineEnd >= 0) {
        if (at > 0) onData(this.#held.subarray(0, at));
        const rest = this.#held.toString('utf8', at + mark.length, lineEnd);
        this.#held = this.#held.subarray(lineEnd + 1);
        return rest.trim();
      }
      this.#handOut(at < 0 ? this.#possibleMark(mark) : at, onData);
      await once(this.#arrived, 'chunk', { signal });
    }
  }

  /** Where the mark may begin, of which only a part has arrived. */
  #possibleMark(mark: string): number {
    const tail = Math.max(0, this.#held.length - mark.length + 1);
    const start = this.#held.indexOf(mark[0] ?? '', tail);
    return start < 0 ? this.#held.length : start;
  }

  #handOut(length: number, onData: (data: Buffer) => void): void {
    if (length === 0) return;
    onData(this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
  }
}
