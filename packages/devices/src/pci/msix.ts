import { atomic, i32, SharedMutex, struct } from '@tsvmm/struct';
import type { BusAccess } from '../bus.ts';
import { DeviceError } from '../errors.ts';
import type { MsiEvents, MsiSender } from '../interrupt.ts';
import type { PciConfigurationSpace, PciConfigurationSpaceBuilder } from './configuration-space.ts';
import { PciCapabilityId } from './configuration-space.ts';

/** Most vectors that the table's region of 0x1000 bytes holds. */
export const MSIX_MAX_VECTORS = 256;
/** Vector number that stands for "none" (VIRTIO_MSI_NO_VECTOR). */
export const MSIX_NO_VECTOR = 0xffff;

/** Bytes of a table entry: message address, upper address, data, vector control. */
const ENTRY_LENGTH = 16;
const VECTOR_CONTROL_MASK = 1;

/** Message Control, as bits of the capability's first word. */
const CONTROL_ENABLE = 1 << 31;
const CONTROL_FUNCTION_MASK = 1 << 30;

const header = struct({ lock: atomic(i32), vectors: atomic(i32) }, { name: 'msix', version: 1 });

/** An MSI-X capability as plain data. */
export interface MsixDescriptor {
  readonly state: SharedArrayBuffer;
  /** Offset of the capability in configuration space. */
  readonly capability: number;
}

/** Where the table and the pending bits are. */
export interface MsixPlacement {
  readonly vectors: number;
  readonly bar: number;
  readonly tableOffset: number;
  readonly pbaOffset: number;
}

/**
 * Adds the MSI-X capability to a function. All vectors start masked, as after a reset.
 * @throws DeviceError BAD_PCI_FUNCTION, OUT_OF_SPACE
 */
export function describeMsix(space: PciConfigurationSpaceBuilder, placement: MsixPlacement): MsixDescriptor {
  const { vectors, bar, tableOffset, pbaOffset } = placement;
  if (!(vectors >= 1 && vectors <= MSIX_MAX_VECTORS)) {
    throw new DeviceError(
      'BAD_PCI_FUNCTION',
      `A function has 1 to ${MSIX_MAX_VECTORS} MSI-X vectors, not ${vectors}.`,
    );
  }
  const body = new DataView(new ArrayBuffer(10));
  body.setUint16(0, vectors - 1, true);
  body.setUint32(2, tableOffset | bar, true);
  body.setUint32(6, pbaOffset | bar, true);
  const capability = space.addCapability(
    PciCapabilityId.msix,
    new Uint8Array(body.buffer),
    Uint8Array.of(0, 0, 0, 0xc0),
  );
  const state = new SharedArrayBuffer(header.size + vectors * ENTRY_LENGTH + Math.ceil(vectors / 64) * 8);
  header.attach(state).vectors.store(vectors);
  const words = new Uint32Array(state, header.size, vectors * 4);
  for (let vector = 0; vector < vectors; vector++) words[vector * 4 + 3] = VECTOR_CONTROL_MASK;
  return { state, capability };
}

/** A function's MSI-X table and pending bit array (PCI Local Bus 3.0, section 6.8.2), usable from any thread. */
export class Msix {
  readonly #mutex: SharedMutex;
  readonly #vectors: number;
  readonly #table: Uint32Array;
  readonly #pending: Uint32Array;
  readonly #space: PciConfigurationSpace;
  readonly #capability: number;
  readonly #sender: MsiSender;
  readonly #requesterId: number;

  /** @param requesterId the function's routing id, by which interrupt controllers know it */
  constructor(
    descriptor: MsixDescriptor,
    space: PciConfigurationSpace,
    sender: MsiSender,
    requesterId: number,
  ) {
    const { lock, vectors } = header.attach(descriptor.state);
    this.#mutex = new SharedMutex(lock);
    this.#vectors = vectors.load();
    this.#table = new Uint32Array(descriptor.state, header.size, this.#vectors * 4);
    this.#pending = new Uint32Array(descriptor.state, header.size + this.#vectors * ENTRY_LENGTH);
    this.#space = space;
    this.#capability = descriptor.capability;
    this.#sender = sender;
    this.#requesterId = requesterId;
  }

  /** Whether the guest uses MSI-X instead of INTx. */
  get enabled(): boolean {
    return (this.#space.readWord(this.#capability) & CONTROL_ENABLE) !== 0;
  }

  /** Number of vectors. */
  get vectors(): number {
    return this.#vectors;
  }

  /** Sends a vector's message, or keeps it pending while the vector or the function is masked. */
  signal(vector: number): void {
    if (vector >= this.#vectors) return;
    this.#mutex.lock();
    try {
      if (this.#isMasked(vector)) this.#setPending(vector, true);
      else this.#send(vector);
    } finally {
      this.#mutex.unlock();
    }
  }

  /**
   * Has an eventfd send a vector's message by itself, unless the vector or the function is masked: then whoever waits for the
   * eventfd signals the vector, which stays pending. To be called again after either has changed.
   */
  connect(events: MsiEvents, event: number, vector: number): void {
    this.#mutex.lock();
    try {
      if (vector >= this.#vectors || this.#isMasked(vector)) {
        events.disconnect(event);
        return;
      }
      const entry = vector * 4;
      events.connect(
        event,
        this.#table[entry] ?? 0,
        this.#table[entry + 1] ?? 0,
        this.#table[entry + 2] ?? 0,
        this.#requesterId,
      );
    } finally {
      this.#mutex.unlock();
    }
  }

  /** To be called after Message Control changed: sends what is pending and no longer masked. */
  controlWritten(): void {
    this.#mutex.lock();
    try {
      for (let word = 0; word < this.#pending.length; word++) {
        if (this.#pending[word] === 0) continue;
        for (let vector = word * 32; vector < Math.min(word * 32 + 32, this.#vectors); vector++) {
          this.#deliverPending(vector);
        }
      }
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Reads the table; `offset` counts from its start. */
  readTable(offset: number, access: BusAccess): void {
    readWords(this.#table, offset, access);
  }

  /** Writes the table: aligned accesses of 4 or 8 bytes, as the specification demands; others do nothing. */
  writeTable(offset: number, access: BusAccess): void {
    if (access.size < 4 || offset % access.size !== 0) return;
    const index = offset >>> 2;
    if (index + access.size / 4 > this.#table.length) return;
    this.#mutex.lock();
    try {
      this.#writeWord(index, access.low);
      if (access.size === 8) this.#writeWord(index + 1, access.high);
      this.#deliverPending(index >>> 2);
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Reads the pending bits, which the guest cannot write. */
  readPending(offset: number, access: BusAccess): void {
    readWords(this.#pending, offset, access);
  }

  #writeWord(index: number, value: number): void {
    // Reserved bits of vector control stay zero, and the low two bits of an address always are.
    const mask = index % 4 === 3 ? VECTOR_CONTROL_MASK : index % 4 === 0 ? 0xffff_fffc : 0xffff_ffff;
    this.#table[index] = value & mask;
  }

  #isMasked(vector: number): boolean {
    const control = this.#space.readWord(this.#capability);
    if ((control & CONTROL_ENABLE) === 0 || (control & CONTROL_FUNCTION_MASK) !== 0) return true;
    return ((this.#table[vector * 4 + 3] ?? 0) & VECTOR_CONTROL_MASK) !== 0;
  }

  #deliverPending(vector: number): void {
    if (((this.#pending[vector >>> 5] ?? 0) & (1 << (vector & 31))) === 0 || this.#isMasked(vector)) return;
    this.#setPending(vector, false);
    this.#send(vector);
  }

  #setPending(vector: number, pending: boolean): void {
    const bit = 1 << (vector & 31);
    const word = this.#pending[vector >>> 5] ?? 0;
    this.#pending[vector >>> 5] = pending ? word | bit : word & ~bit;
  }

  #send(vector: number): void {
    const entry = vector * 4;
    this.#sender.send(
      this.#table[entry] ?? 0,
      this.#table[entry + 1] ?? 0,
      this.#table[entry + 2] ?? 0,
      this.#requesterId,
    );
  }
}

/** Reads 1 to 8 bytes of an array of words; zero beyond its end. */
function readWords(words: Uint32Array, offset: number, access: BusAccess): void {
  const index = offset >>> 2;
  const shift = (offset & 3) * 8;
  const first = words[index] ?? 0;
  const second = words[index + 1] ?? 0;
  access.low = shift === 0 ? first : (first >>> shift) | (second << (32 - shift));
  access.high = shift === 0 ? second : second >>> shift;
}
