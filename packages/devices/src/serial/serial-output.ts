import { DeviceError } from '../errors.ts';
import type { ByteRing } from './byte-ring.ts';
import type { SerialSink } from './sinks.ts';

/** Options of a {@link SerialOutput}. */
export interface SerialOutputOptions {
  /**
   * Told once when the sink fails (a full disk, a closed pipe). What the guest writes afterwards is dropped, so that
   * a broken log does not stop the guest.
   */
  readonly onError?: (error: DeviceError) => void;
}

/**
 * Takes what a guest writes out of its ring and gives it to a sink: as soon as there is something, and as much at a
 * time as has gathered while the sink was busy. Runs on any thread's event loop and never blocks it.
 */
export class SerialOutput implements AsyncDisposable {
  readonly #ring: ByteRing;
  readonly #sink: SerialSink;
  readonly #finished: Promise<void>;

  constructor(ring: ByteRing, sink: SerialSink, options: SerialOutputOptions = {}) {
    this.#ring = ring;
    this.#sink = sink;
    this.#finished = this.#drain(options.onError);
  }

  /**
   * Closes the ring, which releases writers that wait for room, and resolves when the sink has all that was in it.
   * What is written from then on is dropped.
   */
  async finish(): Promise<void> {
    this.#ring.close();
    await this.#finished;
  }

  /** Finishes, then closes the sink. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.finish();
    await this.#sink[Symbol.asyncDispose]();
  }

  async #drain(onError: SerialOutputOptions['onError']): Promise<void> {
    let failed = false;
    for (;;) {
      const bytes = this.#ring.peek();
      if (bytes.length === 0) {
        if (this.#ring.closed && this.#ring.available === 0) return;
        await this.#ring.dataAvailable();
        continue;
      }
      if (!failed) {
        try {
          await this.#sink.write(bytes);
        } catch (cause) {
          failed = true;
          onError?.(
            new DeviceError(
              'BACKEND_FAILED',
              `${this.#sink.name} takes no more serial output; it is dropped.`,
              {
                cause,
              },
            ),
          );
        }
      }
      this.#ring.consume(bytes.length);
    }
  }
}
