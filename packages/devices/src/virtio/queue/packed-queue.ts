import type { GuestMemory } from '@tsvmm/vm-memory';
import { MAX_QUEUE_SIZE, type VirtqueueState } from '../transport/state.ts';
import { DESCRIPTOR_LENGTH, DescriptorFlag, RequestBuffers } from './buffers.ts';
import { VirtqueueError } from './errors.ts';
import type { Segments } from './segments.ts';
import type { Virtqueue, VirtqueueOptions } from './virtqueue.ts';

/** More flags of descriptors in the ring (virtio 1.3, section 2.8.1): each side's copy of its wrap counter. */
const AVAIL = 1 << 7;
const USED = 1 << 15;

/** Flags of both event suppression structures (section 2.8.14). */
const EVENT_ENABLE = 0;
const EVENT_DISABLE = 1;
const EVENT_DESCRIPTOR = 2;
/** The wrap counter, above the offset. */
const EVENT_WRAP = 1 << 15;

/** Buffer ids have 16 bits. */
const ID_COUNT = 0x1_0000;

/**
 * A packed virtqueue (virtio 1.3, section 2.8): one ring that the driver writes available descriptors to and the device
 * overwrites with used ones.
 *
 * Places in the ring are counted through two rounds, from 0 to twice the size: the ring's entry is the remainder, and the
 * wrap counter of the round is 1 in the first and 0 in the second. So each of the state's indices is one number.
 */
export class PackedQueue implements Virtqueue {
  readonly index: number;
  readonly readable: Segments;
  readonly writable: Segments;
  readonly #state: VirtqueueState;
  readonly #buffers: RequestBuffers;
  readonly #size: number;
  readonly #eventIdx: boolean;
  /** Position of the descriptor ring in guest memory. */
  readonly #ring: number;
  /** The descriptors as 16-bit words, of which the eighth are the flags. */
  readonly #words: Uint16Array;
  /** The structure that tells the device when to interrupt: offset and wrap counter, then flags. */
  readonly #driverEvent: Uint16Array;
  /** The structure that tells the driver when to notify, as one word. */
  readonly #deviceEvent: Uint32Array;
  #head = 0;
  /** Descriptors that the request has in the ring. */
  #taken = 0;

  /** @throws VirtqueueError BAD_QUEUE_SIZE, BAD_QUEUE_ADDRESS */
  constructor(index: number, state: VirtqueueState, memory: GuestMemory, options: VirtqueueOptions) {
    const { size, maxSize } = state;
    // It need not be a power of two (section 2.8).
    if (size === 0 || size > maxSize || size > MAX_QUEUE_SIZE) {
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
    this.#ring = this.#buffers.placeRing('descriptor ring', state.descriptors, size * DESCRIPTOR_LENGTH, 16);
    this.#words = new Uint16Array(buffer, this.#ring, 8 * size);
    const driver = this.#buffers.placeRing('driver event suppression', state.driver, 4, 4);
    this.#driverEvent = new Uint16Array(buffer, driver, 2);
    const device = this.#buffers.placeRing('device event suppression', state.device, 4, 4);
    this.#deviceEvent = new Uint32Array(buffer, device, 1);
  }

  /** The buffer id, and above it how many descriptors of the ring the request takes. */
  get head(): number {
    return this.#head;
  }

  pop(): boolean {
    const next = this.#state.nextAvailable;
    if (!this.#isAvailable(next)) return false;
    this.#walk(this.#entry(next));
    // A driver that makes available what it has not got back would be served for ever.
    const held = this.#distance(this.#state.nextUsed, next) + this.#taken;
    if (held > this.#size) {
      throw this.#buffers.error('BAD_AVAILABLE_INDEX', `${held} descriptors in ${this.#size} entries`);
    }
    this.#state.nextAvailable = this.#advance(next, this.#taken);
    return true;
  }

  undoPop(): void {
    this.#state.nextAvailable = this.#advance(this.#state.nextAvailable, 2 * this.#size - this.#taken);
  }

  push(head: number, written: number): void {
    const state = this.#state;
    const next = state.nextUsed;
    const descriptor = this.#ring + DESCRIPTOR_LENGTH * this.#entry(next);
    const { data } = this.#buffers;
    data.setUint32(descriptor + 8, written, true);
    data.setUint16(descriptor + 12, head % ID_COUNT, true);
    const wrap = next < this.#size ? AVAIL | USED : 0;
    state.nextUsed = this.#advance(next, Math.floor(head / ID_COUNT));
    // Publishes the element and the data: an atomic store orders everything before it.
    Atomics.store(this.#words, 8 * this.#entry(next) + 7, wrap | (written > 0 ? DescriptorFlag.write : 0));
  }

  needsInterrupt(): boolean {
    const state = this.#state;
    const before = state.signalledUsed;
    const now = state.nextUsed;
    if (before === now) return false;
    state.signalledUsed = now;
    const flags = Atomics.load(this.#driverEvent, 1) & 3;
    if (flags !== EVENT_DESCRIPTOR || !this.#eventIdx) return flags !== EVENT_DISABLE;
    // Section 2.8.10: the descriptor is among those that were just passed.
    const event = Atomics.load(this.#driverEvent, 0);
    const place = (event & (EVENT_WRAP - 1)) + ((event & EVENT_WRAP) !== 0 ? 0 : this.#size);
    return this.#distance(before, place) < this.#distance(before, now);
  }

  disableNotifications(): void {
    Atomics.store(this.#deviceEvent, 0, EVENT_DISABLE << 16);
  }

  enableNotifications(): boolean {
    const next = this.#state.nextAvailable;
    const wrap = next < this.#size ? EVENT_WRAP : 0;
    const event = this.#eventIdx ? (EVENT_DESCRIPTOR << 16) | wrap | this.#entry(next) : EVENT_ENABLE << 16;
    Atomics.store(this.#deviceEvent, 0, event);
    return this.#isAvailable(next);
  }

  /** Whether the driver has made the descriptor at a place available (section 2.8.1). */
  #isAvailable(place: number): boolean {
    const flags = Atomics.load(this.#words, 8 * this.#entry(place) + 7);
    const wrap = place < this.#size;
    return ((flags & AVAIL) !== 0) === wrap && ((flags & USED) !== 0) !== wrap;
  }

  /** Collects the buffers of the request whose first descriptor is at `first` of the ring. */
  #walk(first: number): void {
    const buffers = this.#buffers;
    const { data } = buffers;
    buffers.clear();
    let index = first;
    for (this.#taken = 1; ; this.#taken++) {
      const descriptor = this.#ring + DESCRIPTOR_LENGTH * index;
      const flags = data.getUint16(descriptor + 14, true);
      if ((flags & DescriptorFlag.indirect) !== 0) this.#walkTable(descriptor, flags);
      else buffers.add(descriptor, flags);
      if ((flags & DescriptorFlag.next) === 0) {
        // The last descriptor has the request's id (section 2.8.6).
        this.#head = data.getUint16(descriptor + 12, true) + ID_COUNT * this.#taken;
        return;
      }
      if (this.#taken >= this.#size) {
        throw buffers.error('DESCRIPTOR_LOOP', `the list at ${first} does not end`);
      }
      index = index + 1 === this.#size ? 0 : index + 1;
    }
  }

  /** Every descriptor of an indirect table is meant, one after the other (section 2.8.8). */
  #walkTable(descriptor: number, flags: number): void {
    const buffers = this.#buffers;
    // A table is all of a request, so that it cannot be in the middle of others.
    if (this.#taken > 1) throw buffers.error('BAD_INDIRECT', 'an indirect table in a list of descriptors');
    const table = buffers.indirectTable(descriptor, flags);
    for (let i = 0; i < buffers.indirectEntries; i++) {
      const entry = table + DESCRIPTOR_LENGTH * i;
      const entryFlags = buffers.data.getUint16(entry + 14, true);
      if ((entryFlags & DescriptorFlag.indirect) !== 0) {
        throw buffers.error('BAD_INDIRECT', 'an indirect table inside of another');
      }
      buffers.add(entry, entryFlags);
    }
  }

  /** The ring's entry at a place. */
  #entry(place: number): number {
    return place < this.#size ? place : place - this.#size;
  }

  #advance(place: number, count: number): number {
    return (place + count) % (2 * this.#size);
  }

  /** How many descriptors lie between two places, going forward. */
  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + 2 * this.#size;
  }
}
