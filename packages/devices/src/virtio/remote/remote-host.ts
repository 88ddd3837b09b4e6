import { EventFd, type Watcher } from '@tsvmm/base';
import { DeviceLifecycle, type DeviceLifecycleOptions } from '../lifecycle.ts';
import { Phase, type VirtqueueState, virtioLayout } from '../transport/state.ts';
import type { OpenRemote, RemoteBackend, RemoteDescriptor, RemoteQueue } from './remote-backend.ts';

/** What a {@link RemoteHost} is made of. */
export interface RemoteHostOptions extends DeviceLifecycleOptions {
  readonly descriptor: RemoteDescriptor;
  readonly open: OpenRemote;
  /** File descriptors of the eventfds that the guest's notifications signal, one for each queue. */
  readonly kicks: readonly number[];
  /** Those of the eventfds that the back end signals to interrupt the guest, one for each queue. */
  readonly calls: readonly number[];
  readonly onLog: (message: string) => void;
}

/**
 * Serves a virtio device whose back end is another process: hands the queues over when the driver is ready, takes them back at
 * a reset, and raises the interrupts that the back end asks for as long as nothing else sends them. Notifications go from the
 * guest to the back end without passing here.
 */
export class RemoteHost {
  readonly #lifecycle: DeviceLifecycle;
  readonly #kicks: readonly number[];
  readonly #calls: readonly EventFd[];
  readonly #watchers: readonly Watcher[];
  #backend: RemoteBackend | undefined;
  /** The control event was signalled since the phase was last looked at. */
  #isSignalled = false;
  #following: Promise<void> | undefined;
  /** Queues that the back end has. */
  readonly #started = new Set<number>();
  /** The device-specific configuration as the back end has it. */
  readonly #config: Uint8Array;

  private constructor(options: RemoteHostOptions) {
    const { interrupt, kicks, calls } = options;
    this.#lifecycle = new DeviceLifecycle(options);
    this.#config = this.#driverConfig().slice(0, options.descriptor.configLength);
    this.#kicks = kicks;
    this.#calls = calls.map((call) => EventFd.fromDescriptor(call));
    this.#watchers = this.#calls.map((call, index) => call.onReadable(() => interrupt.queue(index)));
  }

  /** Connects to the back end. Rejects as {@link OpenRemote} does. */
  static async open(options: RemoteHostOptions): Promise<RemoteHost> {
    const host = new RemoteHost(options);
    const { name, descriptor, open, onLog } = options;
    const { deviceFeatures, config } = virtioLayout.attach(options.state);
    const [low = 0, high = 0] = deviceFeatures;
    try {
      host.#backend = await open(descriptor, {
        name,
        features: { low, high },
        queueSizes: host.#lifecycle.queues.map(({ maxSize }) => maxSize),
        config,
        events: {
          configChanged: (bytes) => host.#changeConfig(bytes),
          failed: (error) => host.#lifecycle.break(error),
          log: (message) => onLog(`${name}: ${message}`),
        },
      });
    } catch (error) {
      host.#release();
      throw error;
    }
    return host;
  }

  /** Follows the driver: DRIVER_OK, resets of the device and of queues, and queues that are enabled again. */
  control(): void {
    this.#isSignalled = true;
    this.#following ??= this.#follow();
  }

  /** Has the back end finish what it has taken, and lets go of it. */
  async close(): Promise<void> {
    await this.#following;
    try {
      await this.#backend?.[Symbol.asyncDispose]();
    } finally {
      this.#release();
    }
  }

  #release(): void {
    for (const watcher of this.#watchers) watcher[Symbol.dispose]();
  }

  /** One step after the other: what the driver does meanwhile is looked at when the back end has answered. */
  async #follow(): Promise<void> {
    while (this.#isSignalled) {
      this.#isSignalled = false;
      try {
        await this.#step();
      } catch (error) {
        this.#lifecycle.break(error);
      }
    }
    this.#following = undefined;
  }

  async #step(): Promise<void> {
    const { phase, features, queues } = this.#lifecycle;
    if (phase === Phase.resetting) {
      await this.#backend?.reset();
      this.#started.clear();
      this.#lifecycle.finishReset();
    } else if (phase === Phase.activating) {
      if (!this.#lifecycle.tryActivate()) return;
      const enabled = [...queues.entries()].filter(([, state]) => state.enable === 1);
      for (const [index] of enabled) this.#started.add(index);
      await this.#followConfig();
      await this.#backend?.activate(
        features,
        enabled.map(([index, state]) => this.#describe(index, state)),
      );
    } else if (phase === Phase.active) {
      for (const [index, state] of queues.entries()) await this.#followQueue(index, state);
      await this.#followConfig();
    }
  }

  #driverConfig(): Uint8Array {
    return new Uint8Array(this.#lifecycle.config().buffer);
  }

  /** The back end has changed its configuration: what the driver wrote meanwhile elsewhere stays. */
  #changeConfig(bytes: Uint8Array): void {
    this.#lifecycle.changeConfig((view) => {
      for (const [index, byte] of bytes.entries()) {
        if (byte !== this.#config[index]) view.setUint8(index, byte);
      }
    });
    this.#config.set(bytes);
  }

  /** Tells the back end what the driver has written. */
  async #followConfig(): Promise<void> {
    const config = this.#driverConfig().subarray(0, this.#config.length);
    const isWritten = (byte: number, index: number) => byte !== this.#config[index];
    const start = config.findIndex(isWritten);
    if (start < 0) return;
    const bytes = config.slice(start, config.findLastIndex(isWritten) + 1);
    this.#config.set(bytes, start);
    await this.#backend?.writeConfig(start, bytes);
  }

  /** VIRTIO_F_RING_RESET: a queue that the driver resets, or enables again, while the others go on. */
  async #followQueue(index: number, state: VirtqueueState): Promise<void> {
    if (state.resetting === 1) {
      if (this.#started.delete(index)) await this.#backend?.stopQueue(index);
      this.#lifecycle.finishQueueReset(state);
    } else if (state.enable === 1 && !this.#started.has(index)) {
      this.#started.add(index);
      await this.#backend?.startQueue(this.#describe(index, state));
    }
  }

  #describe(index: number, state: VirtqueueState): RemoteQueue {
    const [kick, call] = [this.#kicks[index], this.#calls[index]];
    if (kick === undefined || call === undefined) throw new RangeError(`Queue ${index} has no events.`);
    const { size, descriptors, driver, device, nextAvailable } = state;
    return {
      index,
      size,
      descriptors: addressOf(descriptors),
      driver: addressOf(driver),
      device: addressOf(device),
      nextAvailable,
      kick,
      call: call.descriptor.number,
    };
  }
}

function addressOf({ lo, hi }: { readonly lo: number; readonly hi: number }): number {
  return hi * 2 ** 32 + lo;
}
