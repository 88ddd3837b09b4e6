/** A stream's bytes, in the portions that are asked for rather than those in which they arrive. */
export class StreamBytes implements Disposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next `length` bytes, valid until the next call. @throws Error when the stream ends before */
  async take(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let missing = length;
    while (missing > 0) {
      if (await this.isAtEnd()) throw new Error('the data ends early');
      const part = this.#chunk.subarray(0, missing);
      this.#chunk = this.#chunk.subarray(part.length);
      missing -= part.length;
      parts.push(part);
    }
    const [first] = parts;
    return parts.length === 1 && first ? first : concatenated(parts, length);
  }

  /** The next 32-bit little-endian word; undefined at the end. @throws Error when the stream ends inside of it */
  async word(): Promise<number | undefined> {
    if (await this.isAtEnd()) return undefined;
    const bytes = await this.take(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  }

  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0; ) {
      if (await this.isAtEnd()) throw new Error('the data ends early');
      const count = Math.min(missing, this.#chunk.length);
      this.#chunk = this.#chunk.subarray(count);
      missing -= count;
    }
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { value, done } = await this.#reader.read();
      if (done) return true;
      this.#chunk = value;
    }
    return false;
  }

  /** Gives the stream back. */
  [Symbol.dispose](): void {
    this.#reader.releaseLock();
  }
}

function concatenated(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
