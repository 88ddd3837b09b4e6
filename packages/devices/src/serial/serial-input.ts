import type { ByteRing } from './byte-ring.ts';

/** Gives a guest's serial port or console what somebody types, pipes or sends. */
export class SerialInput {
  readonly #ring: ByteRing;
  readonly #arrived: () => void;
  /** Writes happen one after the other, in the order of the calls. */
  #queue: Promise<void> = Promise.resolve();

  /** @param arrived tells the device that there is something new, e.g. `Uart16550.inputArrived` */
  constructor(ring: ByteRing, arrived: () => void) {
    this.#ring = ring;
    this.#arrived = arrived;
  }

  /**
   * Writes all of `bytes`; resolves when the guest has taken enough of what came before for the last byte to fit.
   * Await it before reading more from the source: that is the backpressure. After `close`, bytes are dropped.
   */
  write(bytes: Uint8Array): Promise<void> {
    this.#queue = this.#queue.then(() => this.#write(bytes));
    return this.#queue;
  }

  /** Ends the input and releases every pending write. */
  close(): void {
    this.#ring.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const count = this.#ring.write(rest);
      if (count > 0) this.#arrived();
      rest = rest.subarray(count);
      if (rest.length > 0) await this.#ring.roomAvailable();
    }
  }
}
