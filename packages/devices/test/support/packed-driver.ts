// The driver's side of a packed virtqueue, written from virtio 1.3, section 2.8.
import type { DriverRing, Guest, GuestBuffer } from './guest.ts';
import { RAM } from './machine-memory.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const USED = 0x8000;

/** With RING_EVENT_IDX: it asks for an interrupt at the next descriptor that it looks at. */
export class PackedDriverQueue implements DriverRing {
  readonly guest: Guest;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  #next = 0;
  #availWrap = true;
  #seen = 0;
  #usedWrap = true;
  /** Descriptors since the start, of which `needsKick` needs the difference. */
  place = 0;
  readonly #freeIds: number[];
  /** How many descriptors of the ring each id has. */
  readonly #counts = new Map<number, number>();

  constructor(guest: Guest, size: number) {
    this.guest = guest;
    this.size = size;
    this.desc = guest.allocate(16 * size);
    this.avail = guest.allocate(4);
    this.used = guest.allocate(4);
    this.#freeIds = Array.from({ length: size }, (_, id) => id);
    this.#askForInterrupt();
  }

  add(buffers: readonly GuestBuffer[], indirect = false): number {
    const id = this.#freeIds.shift() ?? -1;
    if (id < 0) throw new Error('the driver has no free id');
    const { ram } = this.guest;
    let list = buffers.map(({ address, length, write }, i) => ({
      address,
      length,
      flags: (i + 1 < buffers.length ? NEXT : 0) | (write ? WRITE : 0),
    }));
    if (indirect) {
      const table = this.guest.allocate(16 * buffers.length);
      for (const [i, entry] of list.entries()) {
        // NEXT means nothing in a table.
        this.#write(table + 16 * i, entry.address, entry.length, 0, entry.flags & WRITE);
      }
      list = [{ address: table, length: 16 * buffers.length, flags: INDIRECT }];
    }
    const first = this.#next;
    let firstFlags = 0;
    for (const [i, entry] of list.entries()) {
      const flags = entry.flags | (this.#availWrap ? AVAIL : USED);
      const at = this.desc + 16 * this.#next;
      if (i === 0) {
        firstFlags = flags;
        // The first descriptor's flags are written when all else is there.
        this.#write(at, entry.address, entry.length, id, ram.getUint16(at - RAM + 14, true));
      } else {
        this.#write(at, entry.address, entry.length, id, flags);
      }
      this.#next++;
      if (this.#next === this.size) {
        this.#next = 0;
        this.#availWrap = !this.#availWrap;
      }
    }
    Atomics.store(this.#half(this.desc + 16 * first + 14), 0, firstFlags);
    this.place += list.length;
    this.#counts.set(id, list.length);
    return id;
  }

  take(): { id: number; length: number } | undefined {
    const at = this.desc + 16 * this.#seen;
    const flags = Atomics.load(this.#half(at + 14), 0);
    const isUsed = ((flags & AVAIL) !== 0) === this.#usedWrap && ((flags & USED) !== 0) === this.#usedWrap;
    if (!isUsed) return undefined;
    const { ram } = this.guest;
    const id = ram.getUint16(at - RAM + 12, true);
    // Without WRITE the length is not valid (section 2.8.6).
    const length = (flags & WRITE) !== 0 ? ram.getUint32(at - RAM + 8, true) : 0;
    const count = this.#counts.get(id);
    if (count === undefined) throw new Error(`the device used buffer ${id}, which it does not have`);
    this.#counts.delete(id);
    this.#freeIds.push(id);
    this.#seen += count;
    if (this.#seen >= this.size) {
      this.#seen -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
    this.#askForInterrupt();
    return { id, length };
  }

  needsKick(before: number): boolean {
    const event = this.#half(this.used);
    const flags = Atomics.load(event, 1) & 3;
    if (flags !== 2) return flags === 0;
    const offWrap = Atomics.load(event, 0);
    // Places through two rounds; the driver's own is where it writes next.
    const rounds = 2 * this.size;
    const now = this.#next + (this.#availWrap ? 0 : this.size);
    const wanted = (offWrap & 0x7fff) + ((offWrap & 0x8000) !== 0 ? 0 : this.size);
    const added = this.place - before;
    const start = (((now - added) % rounds) + rounds) % rounds;
    return (((wanted - start) % rounds) + rounds) % rounds < added;
  }

  #askForInterrupt(): void {
    const event = this.#half(this.avail);
    Atomics.store(event, 0, this.#seen | (this.#usedWrap ? 0x8000 : 0));
    Atomics.store(event, 1, 2);
  }

  #write(at: number, address: number, length: number, id: number, flags: number): void {
    const { ram } = this.guest;
    ram.setBigUint64(at - RAM, BigInt(address), true);
    ram.setUint32(at - RAM + 8, length, true);
    ram.setUint16(at - RAM + 12, id, true);
    ram.setUint16(at - RAM + 14, flags, true);
  }

  #half(address: number): Uint16Array {
    return new Uint16Array(this.guest.memory.buffer, this.guest.memory.hostOffset(address, 2));
  }
}
