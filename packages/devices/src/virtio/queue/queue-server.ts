import type { VirtioBackend } from '../backend.ts';
import { BusyPoll } from './busy-poll.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Requests after which the driver is told of those that are done, when more keep coming. */
const INTERRUPT_BATCH = 16;

/** What a {@link QueueServer} is made of. */
export interface QueueServerOptions {
  readonly backend: VirtioBackend;
  /** Called when the driver is to be told of requests that are done. */
  readonly interrupt: () => void;
  /** The driver broke the virtio protocol, or the back end failed: the queue is not served any more. */
  readonly onBroken: (error: unknown) => void;
}

/** Has a back end serve what the driver puts into one queue, when the driver notifies, and as long as that pays off without. */
export class QueueServer<Queue extends Virtqueue = Virtqueue> {
  readonly queue: Queue;
  readonly #options: QueueServerOptions;
  readonly #poll: BusyPoll | undefined;
  readonly #announceNow = () => this.#announce();
  #isAnnouncing = false;
  #isPaused = false;
  #isStopped = false;

  constructor(queue: Queue, options: QueueServerOptions) {
    this.queue = queue;
    this.#options = options;
    if (options.backend.look) {
      this.#poll = new BusyPoll({ look: () => this.#look(), rest: () => this.#serve() });
    }
  }

  /** Serves what is there, until the queue is empty or the back end leaves a request for later. */
  serve(): void {
    this.#poll?.worked();
    this.#serve();
  }

  /** Tells the driver of requests that have ended meanwhile, at the end of this job of the event loop. */
  announce(): void {
    if (this.#isAnnouncing) return;
    this.#isAnnouncing = true;
    this.#poll?.worked();
    queueMicrotask(this.#announceNow);
  }

  /** Takes nothing more from the queue; or does so again, which {@link serve} starts. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
  }

  /** Does not touch the queue any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #serve(): void {
    if (this.#isPaused || this.#isStopped) return;
    try {
      do {
        this.queue.disableNotifications();
        // The driver is asked to notify when nobody looks any more.
        if (!this.#take() || this.#poll?.isLooking) return;
      } while (this.queue.enableNotifications());
    } catch (error) {
      this.#break(error);
    }
  }

  #look(): void {
    if (this.#isPaused || this.#isStopped) return;
    try {
      this.#options.backend.look?.();
      this.#take();
    } catch (error) {
      this.#break(error);
    }
  }

  /** @returns false when the back end has left a request, which it will wake the queue for */
  #take(): boolean {
    const { queue } = this;
    const { backend, interrupt } = this.#options;
    let isEmpty = true;
    let count = 0;
    for (; isEmpty && queue.pop(); count++) {
      isEmpty = backend.handle(queue);
      if (!isEmpty) queue.undoPop();
      else if (count % INTERRUPT_BATCH === INTERRUPT_BATCH - 1 && queue.needsInterrupt()) interrupt();
    }
    if (queue.needsInterrupt()) interrupt();
    if (count > 0) this.#poll?.worked();
    return isEmpty;
  }

  #announce(): void {
    this.#isAnnouncing = false;
    if (!this.#isStopped && this.queue.needsInterrupt()) this.#options.interrupt();
  }

  #break(error: unknown): void {
    this.#isStopped = true;
    this.#options.onBroken(error);
  }
}
