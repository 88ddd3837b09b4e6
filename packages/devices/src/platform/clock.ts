/** A device that has something to do at a certain time, although nobody accesses it. */
export interface TimedDevice {
  /** A cell of shared memory that changes whenever {@link nextDeadline} may have; whoever changes it notifies. */
  readonly changes: Int32Array;
  /** Milliseconds from now until {@link tick} has something to do; undefined for never. */
  nextDeadline(): number | undefined;
  /** Does what is due. Harmless when called too early. */
  tick(): void;
}

/** The longest that a timer is set for at once: a host's clock may be set meanwhile. Milliseconds. */
const LONGEST_WAIT = 60_000;

/**
 * Does what timed devices have to do when it is time, on the event loop of the thread that makes it, which it does not
 * keep running.
 */
export class DeviceClock implements Disposable {
  readonly #device: TimedDevice;
  #disposed = false;

  /** @param onError gets what the device throws, which ends the clock */
  constructor(device: TimedDevice, onError: (error: unknown) => void) {
    this.#device = device;
    this.#run().catch(onError);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    announceChange(this.#device.changes);
  }

  async #run(): Promise<void> {
    const { changes } = this.#device;
    while (!this.#disposed) {
      const seen = Atomics.load(changes, 0);
      const wait = this.#device.nextDeadline() ?? LONGEST_WAIT;
      await Atomics.waitAsync(changes, 0, seen, Math.min(Math.max(wait, 1), LONGEST_WAIT)).value;
      if (!this.#disposed) this.#device.tick();
    }
  }
}

/** Makes the {@link DeviceClock} of a device look again, on whatever thread it is. */
export function announceChange(changes: Int32Array): void {
  Atomics.add(changes, 0, 1);
  Atomics.notify(changes, 0);
}
