import type { GuestMemory } from '@tsvmm/vm-memory';
import type { VirtioBackend } from './backend.ts';
import { hasFeature, VirtioFeature } from './constants.ts';
import { DeviceLifecycle, type DeviceLifecycleOptions } from './lifecycle.ts';
import { PackedQueue } from './queue/packed-queue.ts';
import { serveQueue } from './queue/serve.ts';
import { SplitQueue } from './queue/split-queue.ts';
import type { Virtqueue } from './queue/virtqueue.ts';
import { Phase, type VirtqueueState } from './transport/state.ts';

/** What a {@link BackendHost} is made of. */
export interface BackendHostOptions extends DeviceLifecycleOptions {
  readonly memory: GuestMemory;
  readonly backend: VirtioBackend;
}

/**
 * Runs a virtio device's back end: takes over the queues when the driver is ready, hands out their requests, lets go
 * at a reset, and stops the device when its driver breaks the rules. All on one thread, which calls {@link control}
 * and {@link kick} when the events of the same names are signalled.
 */
export class BackendHost {
  readonly #options: BackendHostOptions;
  readonly #lifecycle: DeviceLifecycle;
  /** One for each queue: tells the driver of requests that are done. */
  readonly #interrupts: readonly (() => void)[];
  /** Empty while the device is not active; undefined for queues the driver does not use. */
  #queues: (Virtqueue | undefined)[] = [];
  /** Queues to which something was pushed that the driver has not been told of. */
  readonly #toAnnounce = new Set<Virtqueue>();
  readonly #announceAll = () => this.#announce();
  /** The back end has been reset, and still uses guest memory. */
  #isLettingGo = false;
  readonly #queuesLettingGo = new Set<number>();

  constructor(options: BackendHostOptions) {
    this.#options = options;
    this.#lifecycle = new DeviceLifecycle(options);
    this.#interrupts = this.#lifecycle.queues.map((_, index) => () => options.interrupt.queue(index));
  }

  /** Follows the driver: DRIVER_OK, resets of the device and of queues, queues that are enabled again, configuration. */
  control(): void {
    const { phase } = this.#lifecycle;
    if (phase === Phase.resetting) this.#reset();
    else if (phase === Phase.activating) this.#activate();
    else if (phase === Phase.active) {
      this.#followQueues();
      this.#options.backend.configWritten?.();
    }
  }

  /** Serves what the driver has put into queue `index`. */
  kick(index: number): void {
    const queue = this.#queues[index];
    const interrupt = this.#interrupts[index];
    if (queue === undefined || interrupt === undefined) return;
    try {
      serveQueue(queue, this.#options.backend, interrupt);
    } catch (error) {
      this.#break(error);
    }
  }

  /** The back end, for requests of the thread that runs it. */
  get backend(): VirtioBackend {
    return this.#options.backend;
  }

  /** Serves what is in the queues already, then closes the back end, which ends that and brings its data to safety. */
  async close(): Promise<void> {
    this.control();
    for (let index = 0; index < this.#queues.length; index++) this.kick(index);
    this.#queues = [];
    await this.#options.backend[Symbol.asyncDispose]();
  }

  #announce(): void {
    for (const queue of this.#toAnnounce) {
      const isLive = this.#queues[queue.index] === queue;
      if (isLive && queue.needsInterrupt()) this.#interrupts[queue.index]?.();
    }
    this.#toAnnounce.clear();
  }

  /** @throws VirtqueueError when its registers make no sense */
  #openQueue(index: number, state: VirtqueueState): Virtqueue {
    const { features } = this.#lifecycle;
    const options = {
      eventIdx: hasFeature(features, VirtioFeature.eventIdx),
      indirect: hasFeature(features, VirtioFeature.indirectDesc),
    };
    const Queue = hasFeature(features, VirtioFeature.ringPacked) ? PackedQueue : SplitQueue;
    return new Queue(index, state, this.#options.memory, options);
  }

  #activate(): void {
    const { backend } = this.#options;
    if (!this.#lifecycle.tryActivate()) return;
    try {
      this.#queues = this.#lifecycle.queues.map((state, index) =>
        state.enable === 0 ? undefined : this.#openQueue(index, state),
      );
      backend.activate({
        features: this.#lifecycle.features,
        memory: this.#options.memory,
        wake: (index) => this.kick(index),
        announce: (queue) => {
          if (this.#toAnnounce.size === 0) queueMicrotask(this.#announceAll);
          this.#toAnnounce.add(queue);
        },
        config: () => this.#lifecycle.config(),
        changeConfig: (change) => this.#lifecycle.changeConfig(change),
      });
    } catch (error) {
      this.#break(error);
      return;
    }
    // Whatever was signalled before this moment found no queues.
    for (let index = 0; index < this.#queues.length; index++) this.kick(index);
  }

  /** Queues that the driver resets, and those that it enables anew, while the others go on. */
  #followQueues(): void {
    for (const [index, state] of this.#lifecycle.queues.entries()) {
      const queue = this.#queues[index];
      if (state.resetting === 1) {
        if (this.#queuesLettingGo.has(index)) continue;
        this.#queues[index] = undefined;
        const letGo = queue && this.#options.backend.reset(queue);
        if (letGo) {
          this.#queuesLettingGo.add(index);
          void letGo.then(() => {
            this.#queuesLettingGo.delete(index);
            this.#lifecycle.finishQueueReset(state);
          });
        } else {
          this.#lifecycle.finishQueueReset(state);
        }
      } else if (state.enable === 1 && !queue && this.#queues.length > 0) {
        try {
          this.#queues[index] = this.#openQueue(index, state);
        } catch (error) {
          this.#break(error);
          return;
        }
        this.kick(index);
      }
    }
  }

  #reset(): void {
    if (this.#isLettingGo) return;
    this.#queues = [];
    const letGo = this.#options.backend.reset();
    if (!letGo) {
      this.#lifecycle.finishReset();
      return;
    }
    this.#isLettingGo = true;
    void letGo.then(() => {
      this.#isLettingGo = false;
      this.#lifecycle.finishReset();
    });
  }

  /** Nothing more is served until the driver resets the device. */
  #break(cause: unknown): void {
    this.#queues = [];
    this.#lifecycle.break(cause);
  }
}
