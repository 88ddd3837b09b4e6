import type { GuestMemory } from '@tsvmm/vm-memory';
import type { VirtioBackend } from './backend.ts';
import { hasFeature, VirtioFeature } from './constants.ts';
import { DeviceLifecycle, type DeviceLifecycleOptions } from './lifecycle.ts';
import { PackedQueue } from './queue/packed-queue.ts';
import { QueueServer } from './queue/queue-server.ts';
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
  /** Empty while the device is not active; undefined for queues the driver does not use. */
  #queues: (QueueServer | undefined)[] = [];
  /** The back end has been reset, and still uses guest memory. */
  #isLettingGo = false;
  readonly #queuesLettingGo = new Set<number>();

  constructor(options: BackendHostOptions) {
    this.#options = options;
    this.#lifecycle = new DeviceLifecycle(options);
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
    this.#queues[index]?.serve();
  }

  /** The back end, for requests of the thread that runs it. */
  get backend(): VirtioBackend {
    return this.#options.backend;
  }

  /** Serves what is in the queues already, then closes the back end, which ends that and brings its data to safety. */
  async close(): Promise<void> {
    this.control();
    for (const queue of this.#queues) queue?.serve();
    this.#dropQueues();
    await this.#options.backend[Symbol.asyncDispose]();
  }

  #dropQueues(): void {
    for (const queue of this.#queues) queue?.stop();
    this.#queues = [];
  }

  /** @throws VirtqueueError when its registers make no sense */
  #openQueue(index: number, state: VirtqueueState): QueueServer {
    const { features } = this.#lifecycle;
    const options = {
      eventIdx: hasFeature(features, VirtioFeature.eventIdx),
      indirect: hasFeature(features, VirtioFeature.indirectDesc),
    };
    const Queue = hasFeature(features, VirtioFeature.ringPacked) ? PackedQueue : SplitQueue;
    const { backend, memory, interrupt } = this.#options;
    return new QueueServer<Virtqueue>(new Queue(index, state, memory, options), {
      backend,
      interrupt: () => interrupt.queue(index),
      onBroken: (error) => this.#break(error),
    });
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
        announce: ({ index }) => this.#queues[index]?.announce(),
        config: () => this.#lifecycle.config(),
        changeConfig: (change) => this.#lifecycle.changeConfig(change),
      });
    } catch (error) {
      this.#break(error);
      return;
    }
    // Whatever was signalled before this moment found no queues.
    for (const queue of this.#queues) queue?.serve();
  }

  /** Queues that the driver resets, and those that it enables anew, while the others go on. */
  #followQueues(): void {
    for (const [index, state] of this.#lifecycle.queues.entries()) {
      const queue = this.#queues[index];
      if (state.resetting === 1) {
        if (this.#queuesLettingGo.has(index)) continue;
        queue?.stop();
        this.#queues[index] = undefined;
        const letGo = queue && this.#options.backend.reset(queue.queue);
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
    this.#dropQueues();
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
    this.#dropQueues();
    this.#lifecycle.break(cause);
  }
}
