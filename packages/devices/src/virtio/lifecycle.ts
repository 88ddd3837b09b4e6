import { reasonOf } from '@tsvmm/base';
import { SharedMutex } from '@tsvmm/struct';
import { type FeatureSet, VirtioStatus } from './constants.ts';
import { VirtqueueError, type VirtqueueErrorCode } from './queue/errors.ts';
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

/** What a `DeviceLifecycle` is made of. */
export interface DeviceLifecycleOptions {
  /** For messages, e.g. `virtio-blk vda`. */
  readonly name: string;
  readonly state: SharedArrayBuffer;
  readonly interrupt: VirtioPciInterrupt;
  readonly onBroken: (broken: BrokenDevice) => void;
}

/**
 * The host's side of a virtio device's registers: what the driver asks for in its life cycle, and the answers. Whoever serves
 * the device looks here when its control event is signalled.
 */
export class DeviceLifecycle {
  readonly queues: readonly VirtqueueState[];
  readonly #options: DeviceLifecycleOptions;
  readonly #state: VirtioState;
  readonly #mutex: SharedMutex;

  constructor(options: DeviceLifecycleOptions) {
    this.#options = options;
    this.#state = virtioLayout.attach(options.state);
    this.queues = Array.from({ length: this.#state.queueCount }, (_, index) =>
      attachQueueState(options.state, index),
    );
    this.#mutex = new SharedMutex(this.#state.lock);
  }

  /** One of {@link Phase}. */
  get phase(): number {
    return this.#state.phase.load();
  }

  /** What the driver accepted. */
  get features(): FeatureSet {
    const [low = 0, high = 0] = this.#state.driverFeatures;
    return { low, high };
  }

  /** Goes from `activating` to `active`, unless a reset came meanwhile: that has set the phase, and its event follows. */
  tryActivate(): boolean {
    return this.#state.phase.compareExchange(Phase.activating, Phase.active) === Phase.activating;
  }

  /** The back end has let go of everything: the registers are reset, and the driver may go on. */
  finishReset(): void {
    this.#locked(() => {
      resetRegisters(this.#state, this.queues);
      this.#options.interrupt.acknowledge();
      this.#state.phase.store(Phase.idle);
    });
    // For drivers that went on without waiting.
    this.#state.phase.notify();
  }

  /** The back end has let go of a queue that its driver resets. */
  finishQueueReset(queue: VirtqueueState): void {
    // The whole device may have been reset meanwhile.
    if (queue.resetting === 0) return;
    this.#locked(() => resetQueue(queue));
  }

  /** A copy of the device-specific configuration. */
  config(): DataView {
    return this.#locked(() => new DataView(this.#state.config.slice().buffer));
  }

  /** Changes the device-specific configuration and tells the driver, if it is there. */
  changeConfig(change: (config: DataView) => void): void {
    const { config } = this.#state;
    this.#locked(() => {
      change(new DataView(config.buffer, config.byteOffset, config.byteLength));
      this.#state.configGeneration++;
    });
    if (this.phase !== Phase.idle) this.#options.interrupt.config();
  }

  /** DEVICE_NEEDS_RESET (virtio 1.3, section 2.1.2): nothing more is served until the driver resets the device. */
  break(cause: unknown): void {
    const { name, interrupt, onBroken } = this.#options;
    this.#locked(() => {
      this.#state.status |= VirtioStatus.needsReset;
      this.#state.configGeneration++;
    });
    interrupt.config();
    const code = cause instanceof VirtqueueError ? cause.code : undefined;
    const what = reasonOf(cause);
    onBroken({
      device: name,
      cause: code === undefined ? 'backend' : 'driver',
      code,
      message: `${name}: ${what}`,
    });
  }

  #locked<T>(action: () => T): T {
    this.#mutex.lock();
    try {
      return action();
    } finally {
      this.#mutex.unlock();
    }
  }
}
