import { EventFd, type Watcher } from '@tsvmm/base';
import type { RemoteQueue } from '@tsvmm/devices';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { VhostUserError } from '../errors.ts';

/** available.flags: the driver does not want to be interrupted. */
const NO_INTERRUPT = 1;

/** Where the rings of a queue are, here and for the back end. */
export interface RingPlace {
  readonly buffer: SharedArrayBuffer;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  readonly address: number;
}

/** Bytes of a queue's rings: the available ring, the used ring at a multiple of 4 after it, and an event word in both. */
export function ringsLength(size: number): number {
  return usedOffset(size) + 6 + 8 * size;
}

function usedOffset(size: number): number {
  return Math.ceil((6 + 2 * size) / 4) * 4;
}

/** Indices into the rings as arrays of 16-bit words. */
const FLAGS = 0;
const INDEX = 1;
const RING = 2;

/**
 * A split virtqueue between the driver and a back end that keeps no record of its requests in flight. The back end has rings of
 * its own, which heads of requests are passed between; descriptors and data stay where the driver has put them. So it is known
 * here which requests a back end that died had not given back, whatever order it serves them in.
 *
 * It needs EVENT_IDX not to be negotiated.
 */
export class RelayedQueue implements Disposable {
  /** What the back end is told instead of the driver's queue. */
  readonly queue: RemoteQueue;
  readonly #memory: GuestMemory;
  readonly #driver: RemoteQueue;
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  readonly #watchers: readonly Watcher[];
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: Uint32Array;
  readonly #onBroken: (error: VhostUserError) => void;
  /** Heads that the back end has, the oldest first. */
  readonly #taken: Set<number>;
  /** How far the driver's available ring was passed on, and the back end's used ring passed back. */
  #nextAvailable: number;
  #nextUsed = 0;

  /**
   * @param rings zeroed
   * @param before what passed the queue on to the back end that died, if there was one
   * @param onBroken the back end gave back what it did not have
   */
  constructor(
    driver: RemoteQueue,
    memory: GuestMemory,
    rings: RingPlace,
    before: RelayedQueue | undefined,
    onBroken: (error: VhostUserError) => void,
  ) {
    const { size, index } = driver;
    const { buffer, offset, address } = rings;
    this.#driver = driver;
    this.#memory = memory;
    this.#onBroken = onBroken;
    const used = offset + usedOffset(size);
    this.#available = new Uint16Array(buffer, offset, RING + size + 1);
    this.#used = new Uint16Array(buffer, used, RING + 4 * size + 1);
    this.#usedElements = new Uint32Array(buffer, used + 4, 2 * size);
    this.queue = {
      index,
      size,
      descriptors: driver.descriptors,
      driver: address,
      device: address + usedOffset(size),
      nextAvailable: 0,
      kick: this.#kick.descriptor.number,
      call: this.#call.descriptor.number,
    };
    this.#nextAvailable = before ? before.#nextAvailable : driver.nextAvailable;
    this.#taken = new Set(before ? before.#taken : []);
    for (const [at, head] of [...this.#taken].entries()) this.#available[RING + at] = head;
    Atomics.store(this.#available, INDEX, this.#taken.size);
    this.#kick.signal();
    this.#watchers = [
      EventFd.fromDescriptor(driver.kick).onReadable(() => this.#passOn()),
      this.#call.onReadable(() => this.#passBack()),
    ];
  }

  /** Passes what the driver has made available to the back end. */
  #passOn(): void {
    const { driver, size } = this.#driver;
    const end = this.#memory.loadUint16(driver + 2 * INDEX);
    let index = this.#available[INDEX] ?? 0;
    // A driver that makes more available than there is room for waits until something was given back.
    while (this.#nextAvailable !== end && this.#taken.size < size) {
      const head = this.#memory.readUint16(driver + 2 * (RING + (this.#nextAvailable % size)));
      this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
      this.#taken.add(head);
      this.#available[RING + (index % size)] = head;
      index = (index + 1) & 0xffff;
    }
    Atomics.store(this.#available, INDEX, index);
    this.#kick.signal();
  }

  /** Passes what the back end has done back to the driver. */
  #passBack(): void {
    const { driver, device, size } = this.#driver;
    const end = Atomics.load(this.#used, INDEX);
    if (end === this.#nextUsed) return;
    let index = this.#memory.readUint16(device + 2 * INDEX);
    for (; this.#nextUsed !== end; this.#nextUsed = (this.#nextUsed + 1) & 0xffff) {
      const element = 2 * (this.#nextUsed % size);
      const head = this.#usedElements[element] ?? 0;
      if (!this.#taken.delete(head)) {
        const problem = `gave request ${head} of queue ${this.#driver.index} back, which it did not have`;
        this.#onBroken(new VhostUserError('PROTOCOL', `the back end ${problem}`));
        return;
      }
      const entry = device + 4 + 8 * (index % size);
      this.#memory.writeUint32(entry, head);
      this.#memory.writeUint32(entry + 4, this.#usedElements[element + 1] ?? 0);
      index = (index + 1) & 0xffff;
    }
    this.#memory.storeUint16(device + 2 * INDEX, index);
    if ((this.#memory.loadUint16(driver + 2 * FLAGS) & NO_INTERRUPT) === 0) {
      EventFd.fromDescriptor(this.#driver.call).signal();
    }
  }

  /** Passes back what the back end has done, once it has stopped; nothing passes any more. */
  [Symbol.dispose](): void {
    for (const watcher of this.#watchers) watcher[Symbol.dispose]();
    this.#passBack();
    this.#kick[Symbol.dispose]();
    this.#call[Symbol.dispose]();
  }
}
