// A guest's driver, written from the specification: memory, and split virtqueues in it (virtio 1.3, section 2.7).
import { EventFd } from '@tsvmm/base';
import { featureSet, type RemoteDevice, type RemoteQueue, VirtioFeature } from '@tsvmm/devices';
import { GuestMemory } from '@tsvmm/vm-memory';

/** Two regions, so that their places in the file are not those in the guest. */
const RAM = 0x8000_0000;
const REGIONS = [
  { base: RAM, size: 2 ** 20 },
  { base: RAM + 2 ** 24, size: 2 ** 20 },
];

/** What the guest accepts of every device. */
export const FEATURES = featureSet([VirtioFeature.version1]);

/** A guest's memory, some of which is handed out. */
export class DriverMemory implements Disposable {
  readonly memory = GuestMemory.create({ regions: REGIONS });
  #free = RAM + 2 ** 24;

  /** Memory nobody uses, aligned to a page. */
  allocate(length: number): number {
    const address = this.#free;
    this.#free += Math.ceil(length / 4096) * 4096;
    return address;
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

/** The driver's side of a split virtqueue. */
export class DriverQueue implements Disposable {
  readonly queue: RemoteQueue;
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  readonly #memory: GuestMemory;
  #available = 0;
  #seen = 0;

  constructor(driver: DriverMemory, index: number, size = 8) {
    this.#memory = driver.memory;
    this.queue = {
      index,
      size,
      descriptors: driver.allocate(16 * size),
      driver: driver.allocate(6 + 2 * size),
      device: driver.allocate(6 + 8 * size),
      nextAvailable: 0,
      kick: this.kick.descriptor.number,
      call: this.call.descriptor.number,
    };
  }

  /** Makes a request of the buffers available, whose first descriptor is `head`, and notifies the device. */
  add(head: number, buffers: readonly { address: number; length: number; write?: boolean }[]): void {
    const { descriptors, driver, size } = this.queue;
    for (const [at, { address, length, write }] of buffers.entries()) {
      const descriptor = descriptors + 16 * (head + at);
      const isLast = at + 1 === buffers.length;
      this.#memory.writeUint53(descriptor, address);
      this.#memory.writeUint32(descriptor + 8, length);
      this.#memory.writeUint16(descriptor + 12, (isLast ? 0 : 1) | (write ? 2 : 0));
      this.#memory.writeUint16(descriptor + 14, isLast ? 0 : head + at + 1);
    }
    this.#memory.writeUint16(driver + 4 + 2 * (this.#available % size), head);
    this.#available = (this.#available + 1) & 0xffff;
    this.#memory.storeUint16(driver + 2, this.#available);
    this.kick.signal();
  }

  /** Takes the used requests that are there. */
  take(): { head: number; length: number }[] {
    const { device, size } = this.queue;
    const taken = [];
    for (; this.#seen !== this.#memory.loadUint16(device + 2); this.#seen = (this.#seen + 1) & 0xffff) {
      const entry = device + 4 + 8 * (this.#seen % size);
      taken.push({ head: this.#memory.readUint32(entry), length: this.#memory.readUint32(entry + 4) });
    }
    return taken;
  }

  /** Resolves with `count` used requests. */
  async used(count: number): Promise<{ head: number; length: number }[]> {
    const taken = this.take();
    if (taken.length >= count) return taken;
    const { promise, resolve } = Promise.withResolvers<void>();
    using _watcher = this.call.onReadable(() => {
      taken.push(...this.take());
      if (taken.length >= count) resolve();
    });
    await promise;
    return taken;
  }

  [Symbol.dispose](): void {
    this.kick[Symbol.dispose]();
    this.call[Symbol.dispose]();
  }
}

/** A device as its front end knows it, and what it hears of its back end. */
export class ObservedDevice implements RemoteDevice {
  readonly name = 'virtio-test';
  readonly features = FEATURES;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly failures: unknown[] = [];
  readonly logs: string[] = [];
  readonly #changes: Uint8Array[] = [];
  #heard: (() => void) | undefined;

  constructor(queueCount = 1, config = new Uint8Array(0)) {
    this.queueSizes = new Array<number>(queueCount).fill(256);
    this.config = config;
  }

  readonly events = {
    configChanged: (config: Uint8Array) => {
      this.#changes.push(config);
      this.#heard?.();
    },
    failed: (error: unknown) => {
      this.failures.push(error);
      this.#heard?.();
    },
    log: (message: string) => {
      this.logs.push(message);
      this.#heard?.();
    },
  };

  /** Resolves with the failure that is, or will be, the first. */
  async failure(): Promise<unknown> {
    await this.until(() => this.failures.length > 0);
    return this.failures[0];
  }

  /** Resolves with the next change of the configuration that nobody has asked for yet. */
  async configChange(): Promise<Uint8Array | undefined> {
    await this.until(() => this.#changes.length > 0);
    return this.#changes.shift();
  }

  /** Resolves when something that the back end did made the condition true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#heard = resolve;
      await promise;
    }
  }
}
