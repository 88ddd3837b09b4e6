import { type GuestMemory, GuestMemoryError } from '@tsvmm/vm-memory';
import { VirtqueueError, type VirtqueueErrorCode } from './errors.ts';
import { Segments } from './segments.ts';

/** Descriptor flags of both ring formats (virtio 1.3, sections 2.7.5 and 2.8.1). */
export const DescriptorFlag = { next: 1, write: 2, indirect: 4 } as const;

/** Bytes of a descriptor of either format, in the ring and in an indirect table. */
export const DESCRIPTOR_LENGTH = 16;

/** Most descriptors of an indirect table that are accepted, whatever the size of the queue. */
const MAX_INDIRECT = 1024;

/** An address as the registers hold it. */
interface SplitAddress {
  readonly lo: number;
  readonly hi: number;
}

/** What both ring formats do alike: finding rings and buffers in memory, and collecting a request's. */
export class RequestBuffers {
  readonly readable: Segments;
  readonly writable: Segments;
  /** The whole of guest memory: descriptors and indirect tables lie anywhere. */
  readonly data: DataView;
  readonly #queue: number;
  readonly #memory: GuestMemory;
  readonly #capacity: number;
  readonly #indirect: boolean;

  constructor(queue: number, memory: GuestMemory, size: number, indirect: boolean) {
    this.#queue = queue;
    this.#memory = memory;
    this.#indirect = indirect;
    this.#capacity = Math.max(size, indirect ? MAX_INDIRECT : 0);
    this.data = new DataView(memory.buffer);
    this.readable = new Segments(memory, this.#capacity);
    this.writable = new Segments(memory, this.#capacity);
  }

  clear(): void {
    this.readable.clear();
    this.writable.clear();
  }

  /**
   * Adds the buffer that the descriptor at `position` of guest memory is of.
   * @throws VirtqueueError BAD_BUFFER, READABLE_AFTER_WRITABLE
   */
  add(position: number, flags: number): void {
    const length = this.data.getUint32(position + 8, true);
    const buffer = this.#placeBuffer(position, length);
    if ((flags & DescriptorFlag.write) !== 0) {
      this.writable.push(buffer, length);
    } else {
      if (this.writable.count > 0) {
        throw this.error('READABLE_AFTER_WRITABLE', 'a buffer to read follows one to write');
      }
      this.readable.push(buffer, length);
    }
  }

  /**
   * Finds the indirect table that the descriptor at `position` of guest memory is of.
   * @returns the table's position; its entries are `indirectEntries`
   * @throws VirtqueueError BAD_BUFFER, BAD_INDIRECT
   */
  indirectTable(position: number, flags: number): number {
    const length = this.data.getUint32(position + 8, true);
    const entries = length / DESCRIPTOR_LENGTH;
    const table = this.#placeBuffer(position, length);
    const isAllowed = this.#indirect && (flags & DescriptorFlag.next) === 0;
    const room = this.#capacity - this.readable.count - this.writable.count;
    if (!isAllowed || !Number.isInteger(entries) || entries > Math.min(MAX_INDIRECT, room)) {
      throw this.error('BAD_INDIRECT', `an indirect table of ${length} bytes`);
    }
    this.indirectEntries = entries;
    return table;
  }
  /** Descriptors of the table that was last found. */
  indirectEntries = 0;

  /** Host position of a ring, whose alignment carries over to the host as memory starts at a page. */
  placeRing(what: string, address: SplitAddress, length: number, alignment: number): number {
    const physical = address.hi * 2 ** 32 + address.lo;
    if (physical % alignment !== 0) {
      throw this.error('BAD_QUEUE_ADDRESS', `the ${what} at 0x${physical.toString(16)} is misaligned`);
    }
    return this.#place('BAD_QUEUE_ADDRESS', `the ${what}`, physical, length);
  }

  error(code: VirtqueueErrorCode, what: string): VirtqueueError {
    return new VirtqueueError(code, `queue ${this.#queue}: ${what}`);
  }

  #placeBuffer(position: number, length: number): number {
    if (length === 0) throw this.error('BAD_BUFFER', 'a buffer is empty');
    const address = this.data.getUint32(position, true) + this.data.getUint32(position + 4, true) * 2 ** 32;
    return this.#place('BAD_BUFFER', 'a buffer', address, length);
  }

  #place(code: VirtqueueErrorCode, what: string, address: number, length: number): number {
    try {
      return this.#memory.hostOffset(address, length);
    } catch (cause) {
      if (!(cause instanceof GuestMemoryError)) throw cause;
      throw this.error(code, `${what} of ${length} bytes at 0x${address.toString(16)} is not in memory`);
    }
  }
}
