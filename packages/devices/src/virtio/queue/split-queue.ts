import type { GuestMemory } from '@tsvmm/vm-memory';
import type { VirtqueueState } from '../transport/state.ts';
import { DESCRIPTOR_LENGTH, DescriptorFlag, RequestBuffers } from './buffers.ts';
import { VirtqueueError } from './errors.ts';
import type { Segments } from './segments.ts';
import type { Virtqueue, VirtqueueOptions } from './virtqueue.ts';

/** available.flags: the driver does not want to be interrupted. */
const AVAIL_NO_INTERRUPT = 1;
/** used.flags: the device does not want to be notified. */
const USED_NO_NOTIFY = 1;

/** Indices into the rings as arrays of 16-bit words. */
const FLAGS = 0;
const INDEX = 1;
const RING = 2;

/** A split virtqueue (virtio 1.3, section 2.7). */
export class SplitQueue implements Virtqueue {
  readonly index: number;
  readonly readable: Segments;
  readonly writable: Segments;
  readonly #state: VirtqueueState;
  readonly #buffers: RequestBuffers;
  readonly #size: number;
  readonly #eventIdx: boolean;
  /** Position of the descriptor table in guest memory. */
  readonly #table: number;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: Uint32Array;
  #head = 0;

  /** @throws VirtqueueError BAD_QUEUE_SIZE, BAD_QUEUE_ADDRESS */
  constructor(index: number, state: VirtqueueState, memory: GuestMemory, options: VirtqueueOptions) {
    const { size, maxSize } = state;
    if (size === 0 || size > maxSize || (size & (size - 1)) !== 0) {
      throw new VirtqueueError(
        'BAD_QUEUE_SIZE',
        `queue ${index} cannot have ${size} entries, at most ${maxSize}`,
      );
    }
    this.index = index;
    this.#state = state;
    this.#size = size;
    this.#eventIdx = options.eventIdx;
    this.#buffers = new RequestBuffers(index, memory, size, options.indirect);
    this.readable = this.#buffers.readable;
    this.writable = this.#buffers.writable;
    const { buffer } = memory;
    this.#table = this.#buffers.placeRing(
      'descriptor table',
      state.descriptors,
      size * DESCRIPTOR_LENGTH,
      16,
    );
    // Both rings end with an event word, which is there even when EVENT_IDX is not negotiated.
    const available = this.#buffers.placeRing('available ring', state.driver, 6 + 2 * size, 2);
    const used = this.#buffers.placeRing('used ring', state.device, 6 + 8 * size, 4);
    this.#available = new Uint16Array(buffer, available, RING + size + 1);
    this.#used = new Uint16Array(buffer, used, RING + 4 * size + 1);
    this.#usedElements = new Uint32Array(buffer, used + 4, 2 * size);
  }

  pop(): boolean {
    const state = this.#state;
    const next = state.nextAvailable;
    const ahead = (Atomics.load(this.#available, INDEX) - next) & 0xffff;
    if (ahead === 0) return false;
    if (ahead > this.#size) {
      throw this.#buffers.error('BAD_AVAILABLE_INDEX', `${ahead} requests in ${this.#size} entries`);
    }
    const held = ((next - state.nextUsed) & 0xffff) + 1;
    if (held > this.#size) {
      throw this.#buffers.error('BAD_AVAILABLE_INDEX', `${held} requests at once in ${this.#size} entries`);
    }
    const head = this.#available[RING + (next & (this.#size - 1))] ?? 0;
    this.#walk(head);
    this.#head = head;
    state.nextAvailable = (next + 1) & 0xffff;
    return true;
  }

  /**
   * Takes a request that had been taken before the queue was made, and not given back: its head is known, and the position
   * is behind it.
   * @throws VirtqueueError when there is no such request
   */
  retake(head: number): void {
    this.#walk(head);
    this.#head = head;
  }

  undoPop(): void {
    this.#state.nextAvailable = (this.#state.nextAvailable - 1) & 0xffff;
  }

  /** The used ring's index: how many requests have been given back, modulo 2^16. */
  get usedIndex(): number {
    return this.#state.nextUsed;
  }

  /** The index of the chain's first descriptor. */
  get head(): number {
    return this.#head;
  }

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

  disableNotifications(): void {
    // With EVENT_IDX, leaving avail_event behind does it.
    if (!this.#eventIdx) Atomics.store(this.#used, FLAGS, USED_NO_NOTIFY);
  }

  enableNotifications(): boolean {
    if (this.#eventIdx) Atomics.store(this.#used, RING + 4 * this.#size, this.#state.nextAvailable);
    else Atomics.store(this.#used, FLAGS, 0);
    return Atomics.load(this.#available, INDEX) !== this.#state.nextAvailable;
  }

  /** Collects a chain's buffers. */
  #walk(head: number): void {
    const buffers = this.#buffers;
    const { data } = buffers;
    buffers.clear();
    let table = this.#table;
    let entries = this.#size;
    let isIndirect = false;
    let index = head;
    for (let seen = 0; ; seen++) {
      if (index >= entries) {
        throw buffers.error('BAD_DESCRIPTOR_INDEX', `descriptor ${index} of ${entries}`);
      }
      if (seen >= entries) throw buffers.error('DESCRIPTOR_LOOP', `the chain at ${head} does not end`);
      const descriptor = table + DESCRIPTOR_LENGTH * index;
      const flags = data.getUint16(descriptor + 12, true);
      const next = data.getUint16(descriptor + 14, true);
      if ((flags & DescriptorFlag.indirect) !== 0) {
        if (isIndirect) {
          throw buffers.error('BAD_INDIRECT', `an indirect table inside of another, in the chain at ${head}`);
        }
        isIndirect = true;
        table = buffers.indirectTable(descriptor, flags);
        entries = buffers.indirectEntries;
        index = 0;
        // The table's own entries are counted from here; what came before it keeps its place in the arrays.
        seen = -1;
        continue;
      }
      buffers.add(descriptor, flags);
      if ((flags & DescriptorFlag.next) === 0) return;
      index = next;
    }
  }
}
