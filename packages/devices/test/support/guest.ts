// The guest's side, written from the specifications: PCI enumeration, the modern virtio-pci driver, split virtqueues.
import type { GuestMemory } from '@tsvmm/vm-memory';
import {
  type AccessSize,
  attachBus,
  type Bus,
  type BusDescriptor,
  createBusAccess,
  type DeviceInterrupts,
} from '../../src/index.ts';
import { attachInterrupts, InterruptCounts, MSI_ADDRESS, RAM, type SharedMachine } from './machine-memory.ts';
import { PackedDriverQueue } from './packed-driver.ts';

export const ECAM = 0x3000_0000;
export const ECAM_LENGTH = 0x10_0000;
export const WINDOW = 0x4000_0000;
export const WINDOW_LENGTH = 0x1000_0000;

/** A CPU with a bus and memory. */
export class Guest {
  readonly bus: Bus;
  readonly memory: GuestMemory;
  readonly ram: DataView;
  readonly ramBytes: Uint8Array;
  readonly interrupts: InterruptCounts;
  /** How often a BAR or its enabling changed. */
  decodingChanges = 0;
  /** How often the chipset was asked for a reset. */
  resets = 0;
  readonly #access = createBusAccess();
  #free = RAM + 0x1000;

  constructor(
    descriptor: BusDescriptor,
    memory: GuestMemory,
    shared: SharedMachine,
    interrupts: DeviceInterrupts = attachInterrupts(shared),
  ) {
    this.bus = attachBus(structuredClone(descriptor), {
      interrupts,
      pciDecodingChanged: () => this.decodingChanges++,
      reset: () => this.resets++,
    });
    this.memory = memory;
    this.ramBytes = memory.bytes(RAM, memory.size);
    this.ram = new DataView(memory.buffer, this.ramBytes.byteOffset, memory.size);
    this.interrupts = new InterruptCounts(shared);
  }

  read(address: number, size: AccessSize): number {
    this.#access.size = size;
    this.bus.read(address, this.#access);
    return this.#access.low;
  }

  write(address: number, size: AccessSize, value: number, high = 0): void {
    this.#access.size = size;
    this.#access.low = value >>> 0;
    this.#access.high = high >>> 0;
    this.bus.write(address, this.#access);
  }

  config(device: number, offset: number, size: AccessSize = 4): number {
    return this.read(ECAM + (device << 15) + offset, size);
  }

  setConfig(device: number, offset: number, value: number, size: AccessSize = 4): void {
    this.write(ECAM + (device << 15) + offset, size, value);
  }

  /** Capabilities in the order of their list: offset and id. */
  capabilities(device: number): { offset: number; id: number }[] {
    const list = [];
    if ((this.config(device, 0x06, 2) & 0x10) === 0) return [];
    for (
      let offset = this.config(device, 0x34, 1);
      offset !== 0;
      offset = this.config(device, offset + 1, 1)
    ) {
      list.push({ offset, id: this.config(device, offset, 1) });
    }
    return list;
  }

  /** Memory nobody uses, aligned to a page. */
  allocate(length: number): number {
    const address = this.#free;
    this.#free += Math.ceil(length / 4096) * 4096;
    return address;
  }

  /** What is allocated from now on is behind an address. */
  allocateFrom(address: number): void {
    this.#free = address;
  }

  bytes(address: number, length: number): Uint8Array {
    return this.ramBytes.subarray(address - RAM, address - RAM + length);
  }
}

export interface GuestBuffer {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

/** The driver's side of a virtqueue with EVENT_IDX. */
export interface DriverRing {
  /** Guest-physical addresses of the three areas. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  readonly size: number;
  /** How far the driver has got: give it to `needsKick`. */
  readonly place: number;
  /** Makes the buffers available as one request; returns what it is known by. */
  add(buffers: readonly GuestBuffer[], indirect?: boolean): number;
  /** Takes the next used request; undefined when there is none. Asks for an interrupt for the one after it. */
  take(): { id: number; length: number } | undefined;
  /** Whether the device wants a notification for what was added since `place` was `before`. */
  needsKick(before: number): boolean;
}

/** A split virtqueue. */
export class DriverQueue implements DriverRing {
  readonly guest: Guest;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  available = 0;
  seen = 0;
  #nextDescriptor = 0;

  constructor(guest: Guest, size: number) {
    this.guest = guest;
    this.size = size;
    this.desc = guest.allocate(16 * size);
    this.avail = guest.allocate(6 + 2 * size);
    this.used = guest.allocate(6 + 8 * size);
  }

  setDescriptor(index: number, address: number, length: number, flags: number, next = 0): void {
    this.writeDescriptor(this.desc + 16 * index, address, length, flags, next);
  }

  writeDescriptor(at: number, address: number, length: number, flags: number, next: number): void {
    const { ram } = this.guest;
    ram.setBigUint64(at - RAM, BigInt(address), true);
    ram.setUint32(at - RAM + 8, length, true);
    ram.setUint16(at - RAM + 12, flags, true);
    ram.setUint16(at - RAM + 14, next, true);
  }

  /** Makes a chain of the buffers available; returns its head. */
  add(buffers: readonly GuestBuffer[], indirect = false): number {
    const head = this.#nextDescriptor;
    const flags = (buffer: GuestBuffer, i: number) =>
      (i + 1 < buffers.length ? 1 : 0) | (buffer.write ? 2 : 0);
    if (indirect) {
      const table = this.guest.allocate(16 * buffers.length);
      for (const [i, buffer] of buffers.entries()) {
        this.writeDescriptor(table + 16 * i, buffer.address, buffer.length, flags(buffer, i), i + 1);
      }
      this.setDescriptor(head, table, 16 * buffers.length, 4);
      this.#nextDescriptor = (head + 1) % this.size;
    } else {
      for (const [i, buffer] of buffers.entries()) {
        const index = (head + i) % this.size;
        this.setDescriptor(index, buffer.address, buffer.length, flags(buffer, i), (index + 1) % this.size);
      }
      this.#nextDescriptor = (head + buffers.length) % this.size;
    }
    this.publish(head);
    return head;
  }

  publish(head: number): void {
    const { ram } = this.guest;
    ram.setUint16(this.avail - RAM + 4 + 2 * (this.available % this.size), head, true);
    this.available = (this.available + 1) & 0xffff;
    Atomics.store(this.#half(this.avail), 1, this.available);
  }

  get place(): number {
    return this.available;
  }

  /** Index of the device's last used entry. */
  get usedIndex(): number {
    return Atomics.load(this.#half(this.used), 1);
  }

  /** Takes the next used entry; undefined when there is none. Asks for an interrupt for the one after it. */
  take(): { id: number; length: number } | undefined {
    if (this.usedIndex === this.seen) return undefined;
    const entry = this.used - RAM + 4 + 8 * (this.seen % this.size);
    const { ram } = this.guest;
    const result = { id: ram.getUint32(entry, true), length: ram.getUint32(entry + 4, true) };
    this.seen = (this.seen + 1) & 0xffff;
    Atomics.store(this.#half(this.avail), 2 + this.size, this.seen);
    return result;
  }

  /** Whether the device wants a notification for what was added since it had seen `before`. */
  needsKick(before: number): boolean {
    const event = Atomics.load(this.#half(this.used), 2 + 4 * this.size);
    return ((this.available - event - 1) & 0xffff) < ((this.available - before) & 0xffff);
  }

  #half(address: number): Uint16Array {
    return new Uint16Array(this.guest.memory.buffer, this.guest.memory.hostOffset(address, 2));
  }
}

export const EVENT_IDX = 29;
export const INDIRECT_DESC = 28;
export const VERSION_1 = 32;
export const RING_PACKED = 34;
export const RING_RESET = 40;

/** The modern virtio-pci driver: finds its structures by the capabilities. */
export class VirtioDriver {
  readonly guest: Guest;
  readonly device: number;
  readonly common: number;
  readonly isr: number;
  readonly deviceConfig: number;
  readonly notify: number;
  readonly notifyMultiplier: number;
  readonly pciCfg: number;
  readonly msix: number;
  readonly msixTable: number;
  readonly pba: number;
  readonly queues: DriverRing[] = [];
  #isPacked = false;

  constructor(guest: Guest, device: number) {
    this.guest = guest;
    this.device = device;
    guest.setConfig(device, 0x04, 0x06, 2);
    const bar = (index: number) => (guest.config(device, 0x10 + 4 * index) & ~0xf) >>> 0;
    const structures = new Map<number, { at: number; offset: number }>();
    let msix = 0;
    for (const { offset, id } of guest.capabilities(device)) {
      if (id === 0x11) msix = offset;
      if (id !== 0x09) continue;
      const at = bar(guest.config(device, offset + 4, 1)) + guest.config(device, offset + 8);
      structures.set(guest.config(device, offset + 3, 1), { at, offset });
    }
    const place = (type: number) => structures.get(type) ?? { at: 0, offset: 0 };
    this.common = place(1).at;
    this.notify = place(2).at;
    this.notifyMultiplier = guest.config(device, place(2).offset + 16);
    this.isr = place(3).at;
    this.deviceConfig = place(4).at;
    this.pciCfg = place(5).offset;
    this.msix = msix;
    const place64 = (word: number) => bar(word & 7) + (word & ~7);
    this.msixTable = place64(guest.config(device, msix + 4));
    this.pba = place64(guest.config(device, msix + 8));
  }

  get status(): number {
    return this.guest.read(this.common + 0x14, 1);
  }
  set status(value: number) {
    this.guest.write(this.common + 0x14, 1, value);
  }

  /** Writes 0 and waits for the device to say that it has reset. */
  async reset(): Promise<void> {
    this.status = 0;
    while (this.status !== 0) await new Promise(setImmediate);
  }

  features(): bigint {
    let features = 0n;
    for (const word of [0, 1]) {
      this.guest.write(this.common, 4, word);
      features |= BigInt(this.guest.read(this.common + 4, 4)) << BigInt(32 * word);
    }
    return features;
  }

  /** ACKNOWLEDGE to FEATURES_OK; true when the device accepted. */
  negotiate(bits: readonly number[]): boolean {
    this.#isPacked = bits.includes(RING_PACKED);
    this.status = 1;
    this.status = 3;
    const features = bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    for (const word of [0, 1]) {
      this.guest.write(this.common + 8, 4, word);
      this.guest.write(this.common + 12, 4, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
    }
    this.status = 11;
    return (this.status & 8) !== 0;
  }

  /** Sets a queue up, with MSI message `message` if MSI-X is used. */
  setUpQueue(index: number, size: number, message?: number): DriverRing {
    const queue = this.#isPacked
      ? new PackedDriverQueue(this.guest, size)
      : new DriverQueue(this.guest, size);
    const { guest, common } = this;
    guest.write(common + 0x16, 2, index);
    guest.write(common + 0x18, 2, size);
    for (const [at, address] of [
      [0x20, queue.desc],
      [0x28, queue.avail],
      [0x30, queue.used],
    ] as const) {
      guest.write(common + at, 4, address);
      guest.write(common + at + 4, 4, 0);
    }
    if (message !== undefined) {
      this.setVector(index + 1, message);
      guest.write(common + 0x1a, 2, index + 1);
    }
    guest.write(common + 0x1c, 2, 1);
    this.queues[index] = queue;
    return queue;
  }

  enableMsix(): void {
    this.guest.setConfig(this.device, this.msix + 2, 0x8000, 2);
  }

  setVector(vector: number, message: number, masked = false): void {
    const entry = this.msixTable + 16 * vector;
    this.guest.write(entry, 4, MSI_ADDRESS);
    this.guest.write(entry + 4, 4, 0);
    this.guest.write(entry + 8, 4, message);
    this.guest.write(entry + 12, 4, masked ? 1 : 0);
  }

  kick(index: number): void {
    this.guest.write(this.common + 0x16, 2, index);
    const offset = this.guest.read(this.common + 0x1e, 2);
    this.guest.write(this.notify + offset * this.notifyMultiplier, 2, index);
  }
}
