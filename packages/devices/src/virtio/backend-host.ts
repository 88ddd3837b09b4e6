import type { GuestMemory } from '@tsvmm/vm-memory';
import { SharedMutex } from '../lock.ts';
import type { VirtioBackend } from './backend.ts';
import { type FeatureSet, hasFeature, VirtioFeature, VirtioStatus } from './constants.ts';
import { VirtqueueError, type VirtqueueErrorCode } from './queue/errors.ts';
import { PackedQueue } from './queue/packed-queue.ts';
import { serveQueue } from './queue/serve.ts';
import { SplitQueue } from './queue/split-queue.ts';
import type { Virtqueue } from './queue/virtqueue.ts';
import type { VirtioPciInterrupt } from './transport/interrupt.ts';
import { resetQueue, resetRegisters } from './transport/registers.ts';
import {
  attachQueueState,
  Phase,
  type VirtioState,
  type VirtqueueState,
  virtioLayout,
} from './transport/state.ts';

/** Why a device stopped; plain data. */
export interface BrokenDevice {
  /** The device's name. */
  readonly device: string;
  /** `driver`: the guest broke the protocol; `backend`: the host could not serve it. */
  readonly cause: 'driver' | 'backend';
  /** The rule that the driver broke. */
  readonly code: VirtqueueErrorCode | undefined;
  /** Names the device and says what happened. */
  readonly message: string;
}

/** What a {@link BackendHost} is made of. */
export interface BackendHostOptions {
  /** For messages, e.g. `virtio-blk vda`. */
  readonly name: string;
  readonly state: SharedArrayBuffer;
  readonly interrupt: VirtioPciInterrupt;
  readonly memory: GuestMemory;
  readonly backend: VirtioBackend;
  readonly onBroken: (broken: BrokenDevice) => void;
}

/**
 * Runs a virtio device's back end: takes over the queues when the driver is ready, hands out their requests, lets go
 * at a reset, and stops the device when its driver breaks the rules. All on one thread, which calls {@link control}
 * and {@link kick} when the events of the same names are signalled.
 */
export class BackendHost {
  readonly #options: BackendHostOptions;
  readonly #state: VirtioState;
  readonly #queueStates: readonly VirtqueueState[];
  readonly #mutex: SharedMutex;
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
    this.#state = virtioLayout.attach(options.state);
    this.#queueStates = Array.from({ length: this.#state.queueCount }, (_, index) =>
      attachQueueState(options.state, index),
    );
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#interrupts = this.#queueStates.map((_, index) => () => options.interrupt.queue(index));
  }

  /** Follows the driver: DRIVER_OK, resets of the device and of queues, and queues that are enabled again. */
  control(): void {
    const phase = this.#state.phase.load();
    if (phase === Phase.resetting) this.#reset();
    else if (phase === Phase.activating) this.#activate();
    else if (phase === Phase.active) this.#followQueues();
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

  #changeConfig(change: (config: DataView) => void): void {
    const { config } = this.#state;
    this.#mutex.lock();
    try {
      change(new DataView(config.buffer, config.byteOffset, config.byteLength));
      this.#state.configGeneration++;
    } finally {
      this.#mutex.unlock();
    }
    this.#options.interrupt.config();
  }

  #features(): FeatureSet {
    const [low = 0, high = 0] = this.#state.driverFeatures;
    return { low, high };
  }

  /** @throws VirtqueueError when its registers make no sense */
  #openQueue(index: number, state: VirtqueueState): Virtqueue {
    const features = this.#features();
    const options = {
      eventIdx: hasFeature(features, VirtioFeature.eventIdx),
      indirect: hasFeature(features, VirtioFeature.indirectDesc),
    };
    const Queue = hasFeature(features, VirtioFeature.ringPacked) ? PackedQueue : SplitQueue;
    return new Queue(index, state, this.#options.memory, options);
  }

  #activate(): void {
    const { backend } = this.#options;
    // A reset that comes meanwhile has set the phase already, and its event follows.
    if (this.#state.phase.compareExchange(Phase.activating, Phase.active) !== Phase.activating) return;
    try {
      this.#queues = this.#queueStates.map((state, index) =>
        state.enable === 0 ? undefined : this.#openQueue(index, state),
      );
      backend.activate({
        features: this.#features(),
        wake: (index) => this.kick(index),
        announce: (queue) => {
          if (this.#toAnnounce.size === 0) queueMicrotask(this.#announceAll);
          this.#toAnnounce.add(queue);
        },
        changeConfig: (change) => this.#changeConfig(change),
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
    for (const [index, state] of this.#queueStates.entries()) {
      const queue = this.#queues[index];
      if (state.resetting === 1) {
        if (this.#queuesLettingGo.has(index)) continue;
        this.#queues[index] = undefined;
        const letGo = queue && this.#options.backend.reset(queue);
        if (letGo) {
          this.#queuesLettingGo.add(index);
          void letGo.then(() => {
            this.#queuesLettingGo.delete(index);
            this.#finishQueueReset(state);
          });
        } else {
          this.#finishQueueReset(state);
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

  #finishQueueReset(state: VirtqueueState): void {
    // The whole device may have been reset meanwhile.
    if (state.resetting === 0) return;
    this.#mutex.lock();
    try {
      resetQueue(state);
    } finally {
      this.#mutex.unlock();
    }
  }

  #reset(): void {
    if (this.#isLettingGo) return;
    this.#queues = [];
    const letGo = this.#options.backend.reset();
    if (!letGo) {
      this.#finishReset();
      return;
    }
    this.#isLettingGo = true;
    void letGo.then(() => {
      this.#isLettingGo = false;
      this.#finishReset();
    });
  }

  #finishReset(): void {
    this.#mutex.lock();
    try {
      resetRegisters(this.#state, this.#queueStates);
      this.#options.interrupt.acknowledge();
      this.#state.phase.store(Phase.idle);
    } finally {
      this.#mutex.unlock();
    }
    // For drivers that went on without waiting.
    this.#state.phase.notify();
  }

  /** DEVICE_NEEDS_RESET (virtio 1.3, section 2.1.2): nothing more is served until the driver resets the device. */
  #break(cause: unknown): void {
    const { name, interrupt, onBroken } = this.#options;
    this.#queues = [];
    this.#mutex.lock();
    try {
      this.#state.status |= VirtioStatus.needsReset;
      this.#state.configGeneration++;
    } finally {
      this.#mutex.unlock();
    }
    interrupt.config();
    const code = cause instanceof VirtqueueError ? cause.code : undefined;
    const what = cause instanceof Error ? cause.message : String(cause);
    onBroken({
      device: name,
      cause: code === undefined ? 'backend' : 'driver',
      code,
      message: `${name}: ${what}`,
    });
  }
}
