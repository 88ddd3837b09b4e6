import type { FeatureSet } from './constants.ts';
import type { SplitQueue } from './queue/split-queue.ts';

/** What a back end may use while its device is active. */
export interface BackendContext {
  /** The features the driver accepted. */
  readonly features: FeatureSet;
  /**
   * Takes queue `index` up again after `handle` returned false. Harmless at any time: it does nothing when the device
   * has been reset meanwhile.
   */
  wake(index: number): void;
}

/**
 * The back-end half of a virtio device: it serves requests and knows neither the transport nor the thread or process
 * it runs in.
 */
export interface VirtioBackend extends AsyncDisposable {
  /** The driver is ready; requests follow. */
  activate(context: BackendContext): void;
  /**
   * Serves the request that `queue` has just popped and pushes it back, or returns false to leave it to the driver's
   * queue until `wake`.
   * @throws VirtqueueError when the request breaks the protocol: the device then stops until it is reset
   */
  handle(queue: SplitQueue): boolean;
  /** The driver reset the device: what was remembered of its requests is void. */
  reset(): void;
}
