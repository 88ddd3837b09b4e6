import { type GuestMemory, GuestMemoryError } from '@tsvmm/vm-memory';
import type { VirtqueueState } from '../transport/state.ts';
import { VirtqueueError, type VirtqueueErrorCode } from './errors.ts';
import { Segments } from './segments.ts';

/** Descriptor flags (virtio 1.3, section 2.7.5). */
const DESC_NEXT = 1;
const DESC_WRITE = 2;
const DESC_INDIRECT = 4;
const DESCRIPTOR_LENGTH = 16;

/** available.flags: the driver does not want to be interrupted. */
const AVAIL_NO_INTERRUPT = 1;
/** used.flags: the device does not want to be notified. */
const USED_NO_NOTIFY = 1;

/** Indices into the rings as arrays of 16-bit words. */
const FLAGS = 0;
const INDEX = 1;
const RING = 2;

/** Most descriptors of an indirect table that are accepted, whatever the size of the queue. */
const MAX_INDIRECT = 1024;

/** What was negotiated that changes how a queue works. */
export interface SplitQueueOptions {
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/**
 * The device's side of a split virtqueue (virtio 1.3, section 2.7). Everything the driver wrote is read once and
 * checked as it is read; nothing is allocated once the queue is made.
 *
 * `pop` takes the next request and leaves its buffers in `readable` and `writable`; `push` gives it back.
 */
export class SplitQueue {
  /** Number of the queue, from 0. */
  readonly index: number;
  /** The request's buffers for the device to read, in order. */
  readonly readable: Segments;
  /** The request's buffers for the device to write, in order. */
  readonly writable: Segments;
  readonly #state: VirtqueueState;
  readonly #memory: GuestMemory;
  readonly #size: number;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  /** The whole of guest memory as words: indirect tables lie anywhere. */
  readonly #data: DataView;
  /** Position of the descriptor table in guest memory. */
  readonly #table: number;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: Uint32Array;
  #head = 0;

  /** @throws VirtqueueError BAD_QUEUE_SIZE, BAD_QUEUE_ADDRESS */
  constructor(index: number, state: VirtqueueState, memory: GuestMemory, options: SplitQueueOptions) {
    const { size, maxSize } = state;
    if (size === 0 || size > maxSize || (size & (size - 1)) !== 0) {
      throw new VirtqueueError(
        'BAD_QUEUE_SIZE',
        `queue ${index} cannot have ${size} entries, at most ${maxSize}`,
      );
    }
    this.index = index;
    this.#state = state;
    this.#memory = memory;
    this.#size = size;
    this.#eventIdx = options.eventIdx;
    this.#indirect = options.indirect;
    const { buffer } = memory;
    this.#data = new DataView(buffer);
    this.#table = this.#placeRing('descriptor table', state.descriptors, size * DESCRIPTOR_LENGTH, 16);
    // Both rings end with an event word, which is there even when EVENT_IDX is not negotiated.
    const available = this.#placeRing('available ring', state.driver, 6 + 2 * size, 2);
    const used = this.#placeRing('used ring', state.device, 6 + 8 * size, 4);
    this.#available = new Uint16Array(buffer, available, RING + size + 1);
    this.#used = new Uint16Array(buffer, used, RING + 4 * size + 1);
    this.#usedElements = new Uint32Array(buffer, used + 4, 2 * size);
    const capacity = Math.max(size, options.indirect ? MAX_INDIRECT : 0);
    this.readable = new Segments(memory, capacity);
    this.writable = new Segments(memory, capacity);
  }

  /**
   * Takes the next available request.
   * @returns false when there is none
   * @throws VirtqueueError when the driver broke the rules
   */
  pop(): boolean {
    const state = this.#state;
    const next = state.nextAvailable;
    const ahead = (Atomics.load(this.#available, INDEX) - next) & 0xffff;
    if (ahead === 0) return false;
    if (ahead > this.#size) {
      throw new VirtqueueError(
        'BAD_AVAILABLE_INDEX',
        `queue ${this.index}: ${ahead} requests in ${this.#size} entries`,
      );
    }
    const head = this.#available[RING + (next & (this.#size - 1))] ?? 0;
    this.#walk(head);
    this.#head = head;
    state.nextAvailable = (next + 1) & 0xffff;
    return true;
  }

  /** Puts the request that `pop` took back, to be popped again later. */
  undoPop(): void {
    this.#state.nextAvailable = (this.#state.nextAvailable - 1) & 0xffff;
  }

  /** The descriptor index by which the driver knows the request that `pop` took. */
  get head(): number {
    return this.#head;
  }

  /**
   * Gives a request back to the driver.
   * @param head what {@link SplitQueue.head} was
   * @param written bytes written to the request's writable buffers, from their start
   */
  push(head: number, written: number): void {
    const state = this.#state;
    const next = state.nextUsed;
    const element = 2 * (next & (this.#size - 1));
    this.#usedElements[element] = head;
    this.#usedElements[element + 1] = written;
    state.nextUsed = (next + 1) & 0xffff;
    // Publishes the element and the data: an atomic store orders everything before it.
    Atomics.store(this.#used, INDEX, state.nextUsed);
  }

  /** Whether the driver wants to be told of what has been pushed since this was last asked. */
  needsInterrupt(): boolean {
    const state = this.#state;
    const before = state.signalledUsed;
    const now = state.nextUsed;
    if (before === now) return false;
    state.signalledUsed = now;
    if (!this.#eventIdx) return (Atomics.load(this.#available, FLAGS) & AVAIL_NO_INTERRUPT) === 0;
    // Section 2.7.7.2: used_event is among the indices that were just passed.
    const event = Atomics.load(this.#available, RING + this.#size);
    return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  /** Asks the driver not to notify while requests are being taken anyway. */
  disableNotifications(): void {
    // With EVENT_IDX, leaving avail_event behind does it.
    if (!this.#eventIdx) Atomics.store(this.#used, FLAGS, USED_NO_NOTIFY);
  }

  /**
   * Asks the driver to notify of the next request.
   * @returns true when one has arrived meanwhile, of which there will be no notification
   */
  enableNotifications(): boolean {
    if (this.#eventIdx) Atomics.store(this.#used, RING + 4 * this.#size, this.#state.nextAvailable);
    else Atomics.store(this.#used, FLAGS, 0);
    return Atomics.load(this.#available, INDEX) !== this.#state.nextAvailable;
  }

  /** Collects a chain's buffers. */
  #walk(head: number): void {
    this.readable.clear();
    this.writable.clear();
    let table = this.#table;
    let entries = this.#size;
    let isIndirect = false;
    let index = head;
    for (let seen = 0; ; seen++) {
      if (index >= entries) {
        throw this.#error('BAD_DESCRIPTOR_INDEX', `descriptor ${index} of ${entries}`);
      }
      if (seen >= entries) throw this.#error('DESCRIPTOR_LOOP', `the chain at ${head} does not end`);
      const descriptor = table + DESCRIPTOR_LENGTH * index;
      const address =
        this.#data.getUint32(descriptor, true) + this.#data.getUint32(descriptor + 4, true) * 2 ** 32;
      const length = this.#data.getUint32(descriptor + 8, true);
      const flags = this.#data.getUint16(descriptor + 12, true);
      const next = this.#data.getUint16(descriptor + 14, true);
      if (length === 0) throw this.#error('BAD_BUFFER', `descriptor ${index} is of an empty buffer`);
      const position = this.#place('BAD_BUFFER', 'a buffer', address, length);
      if ((flags & DESC_INDIRECT) !== 0) {
        const isAllowed = this.#indirect && !isIndirect && (flags & DESC_NEXT) === 0;
        entries = length / DESCRIPTOR_LENGTH;
        if (!isAllowed || !Number.isInteger(entries) || entries > MAX_INDIRECT) {
          throw this.#error(
            'BAD_INDIRECT',
            `an indirect table of ${length} bytes at 0x${address.toString(16)}`,
          );
        }
        isIndirect = true;
        table = position;
        index = 0;
        // The table's own entries are counted from here; what came before it keeps its place in the arrays.
        if (seen + entries > this.readable.pairs.length / 2) {
          throw this.#error('BAD_INDIRECT', `${seen + entries} buffers in one request`);
        }
        seen = -1;
        continue;
      }
      if ((flags & DESC_WRITE) !== 0) {
        this.writable.push(position, length);
      } else {
        if (this.writable.count > 0) {
          throw this.#error('READABLE_AFTER_WRITABLE', `descriptor ${index} in the chain at ${head}`);
        }
        this.readable.push(position, length);
      }
      if ((flags & DESC_NEXT) === 0) return;
      index = next;
    }
  }

  /** Host position of a ring, whose alignment carries over to the host as memory starts at a page. */
  #placeRing(what: string, address: { lo: number; hi: number }, length: number, alignment: number): number {
    const physical = address.hi * 2 ** 32 + address.lo;
    if (physical % alignment !== 0) {
      throw this.#error('BAD_QUEUE_ADDRESS', `the ${what} at 0x${physical.toString(16)} is misaligned`);
    }
    return this.#place('BAD_QUEUE_ADDRESS', `the ${what}`, physical, length);
  }

  #place(code: VirtqueueErrorCode, what: string, address: number, length: number): number {
    try {
      return this.#memory.hostOffset(address, length);
    } catch (cause) {
      if (!(cause instanceof GuestMemoryError)) throw cause;
      throw this.#error(code, `${what} of ${length} bytes at 0x${address.toString(16)} is not in memory`);
    }
  }

  #error(code: VirtqueueErrorCode, what: string): VirtqueueError {
    return new VirtqueueError(code, `queue ${this.index}: ${what}`);
  }
}
