import { native } from '../native.ts';

/**
 * Where buffers are in this process's addresses. A buffer's bytes do not move, so each is asked about once. (One whose
 * bytes were transferred away has the length 0, so no segment lies in it.)
 */
export class Addresses {
  readonly #known = new WeakMap<ArrayBufferLike, number>();
  #lastMemory: Uint8Array | undefined;
  #lastAddress = 0;

  /** The address of a view's first byte. */
  of(memory: Uint8Array): number {
    // Nearly every request is about the guest's memory.
    if (memory === this.#lastMemory) return this.#lastAddress;
    const { buffer, byteOffset } = memory;
    let start = this.#known.get(buffer);
    if (start === undefined) {
      start = native.addressOf(new Uint8Array(buffer));
      this.#known.set(buffer, start);
    }
    this.#lastMemory = memory;
    this.#lastAddress = start + byteOffset;
    return this.#lastAddress;
  }
}
