import { Ext2Error } from '../errors.ts';

/** Takes bytes from a stream of chunks, in portions of the reader's choice, without copying what is in one chunk. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#position;
  }

  /**
   * Exactly `length` bytes, which stay valid until the next call; undefined at the end of the stream.
   * @throws Ext2Error TRUNCATED when the stream ends in between
   */
  async read(length: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= length) return this.#take(length);
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#chunk.length === 0 && !(await this.#fill())) {
        if (missing === length) return undefined;
        throw this.truncated();
      }
      const part = this.#take(Math.min(missing, this.#chunk.length));
      missing -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  /** Some bytes, at most `length`, which stay valid until the next call. */
  async readSome(length: number): Promise<Buffer> {
    if (this.#chunk.length === 0 && !(await this.#fill())) throw this.truncated();
    return this.#take(Math.min(length, this.#chunk.length));
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) left -= (await this.readSome(left)).length;
  }

  /** Ends the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  truncated(): Ext2Error {
    return new Ext2Error(
      'TRUNCATED',
      `The archive ends at byte ${this.#position}, in the middle of an entry: part of it is missing.`,
    );
  }

  #take(length: number): Buffer {
    const taken = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    this.#position += length;
    return taken;
  }

  async #fill(): Promise<boolean> {
    do {
      const next = await this.#chunks.next();
      if (next.done) return false;
      const { buffer, byteOffset, byteLength } = next.value;
      this.#chunk = Buffer.from(buffer, byteOffset, byteLength);
    } while (this.#chunk.length === 0);
    return true;
  }
}
