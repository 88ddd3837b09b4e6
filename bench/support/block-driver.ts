import { EventFd } from '../../packages/base/src/index.ts';
import type { RemoteQueue } from '../../packages/devices/src/index.ts';
import type { GuestMemory } from '../../packages/vm-memory/dist/index.js';

/** Descriptor flags (virtio 1.3, section 2.7.5). */
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
/** Request types (section 5.2.6). */
const IN = 0;
const SECTOR = 512;
/** Milliseconds: KVM's `halt_poll_ns` on x86. */
const HALT_POLLING = 0.2;
/** Bytes of the rings, which are first in memory. */
const RINGS = 16_384;
/** Entries. */
export const QUEUE_SIZE = 256;
/** A request's memory: its header, its indirect table, its status, and from the next page on its data. */
const [TABLE, STATUS, DATA] = [16, 64, 4096];

/** How long requests took, and how many there were. */
export interface DriverResult {
  readonly requests: number;
  /** Seconds. */
  readonly time: number;
  /** Microseconds of each request, in increasing order. */
  readonly latencies: Float64Array;
}

/**
 * The driver's side of a disk's queue, as Linux drives it: indirect descriptors, notifications and interrupts only where the
 * event indices ask for them. It keeps a number of reads under way, and sleeps while there is nothing to do.
 */
export class BlockDriver implements Disposable {
  readonly queue: RemoteQueue;
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  readonly #memory: GuestMemory;
  readonly #depth: number;
  readonly #blockSize: number;
  readonly #slots: readonly number[];
  #available = 0;
  #seen = 0;

  /**
   * @param memory has a region from address 0 on
   * @param depth requests under way at a time
   * @param blockSize bytes of each
   */
  constructor(memory: GuestMemory, depth: number, blockSize: number) {
    this.#memory = memory;
    this.#depth = depth;
    this.#blockSize = blockSize;
    const [descriptors, driver, device] = [0, 4096, 8192];
    memory.fill(descriptors, RINGS, 0);
    this.queue = {
      ...{ index: 0, size: QUEUE_SIZE, descriptors, driver, device, nextAvailable: 0 },
      ...{ kick: this.#kick.descriptor.number, call: this.#call.descriptor.number },
    };
    this.#slots = Array.from({ length: depth }, (_, slot) => RINGS + slot * (DATA + blockSize));
    for (const [slot, place] of this.#slots.entries()) {
      const entry = (at: number, address: number, length: number, flags: number, next: number) => {
        memory.writeUint53(at, address);
        memory.writeUint32(at + 8, length);
        memory.writeUint16(at + 12, flags);
        memory.writeUint16(at + 14, next);
      };
      entry(place + TABLE, place, 16, NEXT, 1);
      entry(place + TABLE + 16, place + DATA, blockSize, NEXT | WRITE, 2);
      entry(place + TABLE + 32, place + STATUS, 1, WRITE, 0);
      entry(descriptors + 16 * slot, place + TABLE, 48, INDIRECT, 0);
    }
  }

  /** Reads at random places of the first `length` bytes of the disk, for so many seconds. */
  read(length: number, seconds: number): DriverResult {
    const memory = this.#memory;
    const { device, size } = this.queue;
    const blocks = length / this.#blockSize;
    const latencies: number[] = [];
    const started = new Float64Array(this.#depth);
    const start = performance.now();
    let under = 0;
    const make = (slot: number, now: number) => {
      started[slot] = now;
      this.#add(slot, (Math.floor(Math.random() * blocks) * this.#blockSize) / SECTOR);
      under++;
    };
    let published = this.#available;
    for (let slot = 0; slot < this.#depth; slot++) make(slot, start);
    this.#publish(published);
    while (under > 0) {
      this.#wait();
      let now: number;
      do {
        published = this.#available;
        now = performance.now();
        const used = memory.loadUint16(device + 2);
        for (; this.#seen !== used; this.#seen = (this.#seen + 1) & 0xffff) {
          const slot = memory.readUint32(device + 4 + 8 * (this.#seen % size));
          if (memory.readUint8((this.#slots[slot] ?? 0) + STATUS) !== 0) throw new Error('a read failed');
          latencies.push((now - (started[slot] ?? 0)) * 1000);
          under--;
          if (now - start < 1000 * seconds) make(slot, now);
        }
        this.#publish(published);
        // used_event: the next one is waited for (section 2.7.8), unless it has come meanwhile.
        memory.storeUint16(this.queue.driver + 4 + 2 * size, this.#seen);
      } while (this.#seen !== memory.loadUint16(device + 2));
    }
    const time = (performance.now() - start) / 1000;
    return { requests: latencies.length, time, latencies: Float64Array.from(latencies).sort() };
  }

  /** An idle vCPU is not put to sleep at once (KVM's halt polling), and neither is this thread. */
  #wait(): void {
    const start = performance.now();
    while (this.#call.tryRead() === 0) {
      if (performance.now() - start < HALT_POLLING) continue;
      this.#call.wait();
      return;
    }
  }

  #add(slot: number, sector: number): void {
    const memory = this.#memory;
    const place = this.#slots[slot] ?? 0;
    memory.writeUint32(place, IN);
    memory.writeUint53(place + 8, sector);
    memory.writeUint8(place + STATUS, 0xff);
    memory.writeUint16(this.queue.driver + 4 + 2 * (this.#available % this.queue.size), slot);
    this.#available = (this.#available + 1) & 0xffff;
  }

  /** Makes what was added available, and notifies the device if it wants to know (section 2.7.10). */
  #publish(before: number): void {
    if (before === this.#available) return;
    const { driver, device, size } = this.queue;
    this.#memory.storeUint16(driver + 2, this.#available);
    const event = this.#memory.loadUint16(device + 4 + 8 * size);
    if (((this.#available - event - 1) & 0xffff) < ((this.#available - before) & 0xffff)) this.#kick.signal();
  }

  [Symbol.dispose](): void {
    this.#kick[Symbol.dispose]();
    this.#call[Symbol.dispose]();
  }
}
