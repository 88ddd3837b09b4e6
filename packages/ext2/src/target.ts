/**
 * What an image is written to: a `Disk` of `@tsvmm/disk` is one, so that it may go into any format; so is anything else
 * that takes bytes at positions. Requests do not overlap in time.
 */
export interface ImageTarget {
  /** Bytes. */
  readonly size: number;
  /** Fills `bytes` with what was written at `position` before. */
  read(position: number, bytes: Uint8Array): Promise<void> | undefined;
  /** Writes `bytes`, which may change when the returned promise is done. */
  write(position: number, bytes: Uint8Array): Promise<void> | undefined;
  /** Makes a range zero, whatever it was before; at best without taking space. */
  writeZeroes(position: number, length: number): Promise<void> | undefined;
  /** Brings everything to stable storage. */
  flush(): Promise<void> | undefined;
}

/** Joins writes that follow each other, so that many small ones become few large ones. */
export class CoalescingWriter {
  readonly #target: ImageTarget;
  readonly #buffer: Uint8Array;
  #start = 0;
  #length = 0;

  constructor(target: ImageTarget, capacity: number) {
    this.#target = target;
    this.#buffer = new Uint8Array(capacity);
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    const follows = position === this.#start + this.#length;
    if (!follows || this.#length + bytes.length > this.#buffer.length) await this.flush();
    if (bytes.length >= this.#buffer.length) {
      await this.#target.write(position, bytes);
      return;
    }
    if (this.#length === 0) this.#start = position;
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Writes what is held back. */
  async flush(): Promise<void> {
    if (this.#length === 0) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    await this.#target.write(this.#start, bytes);
  }
}
