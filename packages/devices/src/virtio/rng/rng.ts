import { randomFillSync } from 'node:crypto';
import type { VirtioBackend } from '../backend.ts';
import { VirtioDeviceId } from '../constants.ts';
import { VirtqueueError } from '../queue/errors.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

const QUEUE_SIZE = 256;
/** What one request gets at most; a driver asks again (virtio 1.3, section 5.4.6.1). */
const MAX_BYTES = 4096;

/** The transport's view of an entropy device. */
export function rngModel(): VirtioDeviceModel {
  return {
    deviceId: VirtioDeviceId.entropy,
    features: [],
    queueSizes: [QUEUE_SIZE],
    config: new Uint8Array(0),
  };
}

/** Fills requests with the host kernel's random numbers. */
export class RngBackend implements VirtioBackend {
  /** The guest's memory is shared, and numbers that others can read while they are made are none. */
  readonly #bytes = new Uint8Array(MAX_BYTES);

  activate(): void {}

  reset(): undefined {}

  drain(): undefined {}

  handle(queue: Virtqueue): boolean {
    const length = Math.min(queue.writable.byteLength, MAX_BYTES);
    if (length === 0)
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: no room for random numbers`);
    const bytes = this.#bytes.subarray(0, length);
    randomFillSync(bytes);
    queue.push(queue.head, queue.writable.scatter(bytes));
    bytes.fill(0);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
