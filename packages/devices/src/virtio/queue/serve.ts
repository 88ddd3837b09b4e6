import type { VirtioBackend } from '../backend.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Requests after which the driver is told of those that are done, when more keep coming. */
const INTERRUPT_BATCH = 16;

/**
 * Serves what the driver has put into a queue, until it is empty or the back end leaves a request for later.
 *
 * @param interrupt called when the driver is to be told of requests that are done
 * @throws VirtqueueError when the driver broke the protocol; the queue must not be served any more
 */
export function serveQueue(queue: Virtqueue, backend: VirtioBackend, interrupt: () => void): void {
  do {
    queue.disableNotifications();
    for (let done = 1; queue.pop(); done++) {
      if (!backend.handle(queue)) {
        queue.undoPop();
        if (queue.needsInterrupt()) interrupt();
        return;
      }
      if (done % INTERRUPT_BATCH === 0 && queue.needsInterrupt()) interrupt();
    }
    if (queue.needsInterrupt()) interrupt();
  } while (queue.enableNotifications());
}
