import { MemFd, mapShared, pageSize } from '@tsvmm/base';
import type { RemoteQueue } from '@tsvmm/devices';
import type { GuestMemory } from '@tsvmm/vm-memory';
import type { VhostUserError } from '../errors.ts';
import type { MemoryRegionDescription } from '../protocol/messages.ts';
import { RelayedQueue, ringsLength } from './relayed-queue.ts';

/** The back end sees the rings at the first multiple of this after the guest's memory. */
const ADDRESS_ALIGNMENT = 2 ** 30;

/** How a {@link Relay} is made. */
export interface RelayOptions {
  readonly memory: GuestMemory;
  /** The greatest size of each queue. */
  readonly queueSizes: readonly number[];
  readonly onBroken: (error: VhostUserError) => void;
}

/** The queues of a device whose back end keeps no record of its requests in flight, and the memory of the back end's rings. */
export class Relay implements Disposable {
  readonly region: MemoryRegionDescription;
  readonly file: MemFd;
  readonly #options: RelayOptions;
  readonly #buffer: SharedArrayBuffer;
  /** Where the rings of each queue begin, in bytes. */
  readonly #offsets: readonly number[];
  readonly #queues = new Map<number, RelayedQueue>();
  readonly #before: Map<number, RelayedQueue>;

  /** @param before what passed the queues on to the back end that died, if there was one: it is disposed */
  constructor(options: RelayOptions, before?: Relay) {
    before?.[Symbol.dispose]();
    this.#options = options;
    this.#before = new Map(before ? before.#queues : []);
    const { memory, queueSizes } = options;
    const lengths = queueSizes.map((size) => Math.ceil(ringsLength(size) / pageSize) * pageSize);
    this.#offsets = lengths.map((_, index) => sum(lengths.slice(0, index)));
    const size = sum(lengths);
    this.file = MemFd.create({ name: 'vhost-user-rings', size });
    this.#buffer = mapShared(this.file.descriptor.number, 0, size).buffer;
    const address = Math.ceil(memory.end / ADDRESS_ALIGNMENT) * ADDRESS_ALIGNMENT;
    this.region = { guestAddress: address, size, userAddress: BigInt(address), fileOffset: 0 };
  }

  /** Passes a queue on from now on, and goes on where the relay before this one stopped. @returns what the back end is told */
  start(queue: RemoteQueue): RemoteQueue {
    const { memory, onBroken } = this.#options;
    const offset = this.#offsets[queue.index] ?? 0;
    new Uint8Array(this.#buffer, offset, ringsLength(queue.size)).fill(0);
    const rings = { buffer: this.#buffer, offset, address: this.region.guestAddress + offset };
    const relayed = new RelayedQueue(queue, memory, rings, this.#before.get(queue.index), onBroken);
    this.#before.delete(queue.index);
    this.#queues.set(queue.index, relayed);
    return relayed.queue;
  }

  /** The back end has stopped the queue. */
  stop(index: number): void {
    this.#queues.get(index)?.[Symbol.dispose]();
    this.#queues.delete(index);
    this.#before.delete(index);
  }

  [Symbol.dispose](): void {
    for (const queue of this.#queues.values()) queue[Symbol.dispose]();
    this.file[Symbol.dispose]();
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
