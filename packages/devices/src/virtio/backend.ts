import type { GuestMemory } from '@tsvmm/vm-memory';
import type { DeviceCommand, DeviceReply } from './command.ts';
import type { FeatureSet } from './constants.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/** What a back end may use while its device is active. */
export interface BackendContext {
  /** The features the driver accepted. */
  readonly features: FeatureSet;
  /** The guest's RAM, for what requests name by its guest-physical address. */
  readonly memory: GuestMemory;
  /**
   * Takes queue `index` up again after `handle` returned false. Harmless at any time: it does nothing when the device
   * has been reset meanwhile.
   */
  wake(index: number): void;
  /**
   * Tells the driver of what has been pushed to `queue` outside of `handle`, at the end of the current job of the event
   * loop: requests that end together are announced together.
   */
  announce(queue: Virtqueue): void;
  /** The device-specific configuration as it is now: a copy. */
  config(): DataView;
  /** Changes the device-specific configuration and tells the driver that it did. */
  changeConfig(change: (config: DataView) => void): void;
}

/**
 * The back-end half of a virtio device: it serves requests and knows neither the transport nor the thread or process
 * it runs in.
 */
export interface VirtioBackend extends AsyncDisposable {
  /** The driver is ready; requests follow. */
  activate(context: BackendContext): void;
  /**
   * Serves the request that `queue` has just popped and pushes it back, at once or later, or returns false to leave it to
   * the driver's queue until `wake`.
   * @throws VirtqueueError when the request breaks the protocol: the device then stops until it is reset
   */
  handle(queue: Virtqueue): boolean;
  /**
   * The driver reset the device, or just `queue`: what was remembered of its requests is void, and none of them is pushed
   * any more. Returns a promise when guest memory may still be used for them, which resolves when that is over.
   */
  reset(queue?: Virtqueue): Promise<void> | undefined;
  /**
   * Lets the requests that were taken, or just those of `queue`, go on to their end. Returns a promise when some are under
   * way, which resolves when they have been pushed.
   */
  drain(queue?: Virtqueue): Promise<void> | undefined;
  /**
   * Takes the results that are there of requests under way. Where it is present, requests can follow each other so closely that
   * whoever runs the back end looks for these, and for requests, a while before it sleeps.
   */
  look?(): void;
  /**
   * What the driver must not notice the loss of when the device goes on elsewhere: a snapshot of at most 1024 bytes. The image
   * of a disk is none of it. Absent where there is nothing to remember. Called while no queue is served.
   */
  saveState?(): Uint8Array;
  /**
   * Takes over what another back end of the same kind has saved.
   * @throws StructError when it is not that
   */
  loadState?(state: Uint8Array): void;
  /** The driver wrote to the device-specific configuration. Absent where it cannot. */
  configWritten?(): void;
  /**
   * Does what the user of the machine asks of the device. Absent where there is nothing to ask.
   * @throws DeviceError BAD_OPTION for a command that is another device's
   */
  command?(command: DeviceCommand): Promise<DeviceReply>;
}
