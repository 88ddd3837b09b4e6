import { SECTOR } from '../disk-image.ts';
import { VirtqueueError } from '../queue/errors.ts';
import { Segments } from '../queue/segments.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { MAX_RANGES, MAX_WRITE_ZEROES_SECTORS } from './model.ts';

/** Request types (virtio 1.3, section 5.2.6). */
export const RequestType = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;

/** What a request's last byte becomes. */
export const RequestStatus = { ok: 0, ioError: 1, unsupported: 2 } as const;

/** Of a request, and of each of the ranges of DISCARD and WRITE_ZEROES. */
const HEADER_LENGTH = 16;
/** Flag of a range of WRITE_ZEROES. */
const UNMAP = 1;

/** What of a disk decides whether a request can be served. */
export interface DiskLimits {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether DISCARD is offered. */
  readonly sparse: boolean;
}

/** One request of a driver, checked once. Made when all others are in use, and used again. */
export class BlockRequest {
  readonly data = new Segments();
  type = 0;
  /** Bytes from the start of the disk, of IN and OUT. */
  position = 0;
  /** Pairs of position and length in bytes, of DISCARD and WRITE_ZEROES. */
  readonly ranges = new Float64Array(2 * MAX_RANGES);
  readonly mayUnmap = new Uint8Array(MAX_RANGES);
  rangeCount = 0;
  /** Where it came from; undefined once the driver has reset that. */
  queue: Virtqueue | undefined;
  #head = 0;
  /** Guest memory, and where in it the status goes. */
  #memory: Uint8Array = this.data.memory;
  #statusPosition = 0;
  #writableLength = 0;
  readonly #header = new DataView(new ArrayBuffer(HEADER_LENGTH));
  readonly #headerBytes = new Uint8Array(this.#header.buffer);

  /**
   * Takes over what a queue has popped.
   * @returns the status of a request that cannot be served, undefined of one that can
   * @throws VirtqueueError BAD_REQUEST when it has no place for a status, or no header
   */
  take(queue: Virtqueue, limits: DiskLimits): number | undefined {
    const { readable, writable } = queue;
    this.queue = queue;
    this.#head = queue.head;
    // The status is the last writable byte, wherever the driver cut the buffers (section 5.2.6.4).
    this.#memory = writable.memory;
    this.#statusPosition = writable.takeLastByte();
    if (this.#statusPosition < 0) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a block request without status`);
    }
    if (!readable.takeFirst(this.#headerBytes)) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a block request without header`);
    }
    this.#writableLength = writable.byteLength;
    this.type = this.#header.getUint32(0, true);
    const sector = this.#header.getUint32(8, true) + this.#header.getUint32(12, true) * 2 ** 32;
    switch (this.type) {
      case RequestType.in:
        return this.#takeTransfer(sector, writable, limits);
      case RequestType.out:
        if (limits.readOnly) return RequestStatus.ioError;
        return this.#takeTransfer(sector, readable, limits);
      case RequestType.getId:
        this.data.copyFrom(writable);
        return undefined;
      case RequestType.flush:
        return undefined;
      case RequestType.discard:
        return limits.sparse ? this.#takeRanges(readable, limits) : RequestStatus.unsupported;
      case RequestType.writeZeroes:
        return this.#takeRanges(readable, limits);
      default:
        return RequestStatus.unsupported;
    }
  }

  /** Gives the request back to its driver, unless that has forgotten it. @returns the queue it went to */
  finish(status: number): Virtqueue | undefined {
    const { queue } = this;
    this.queue = undefined;
    if (!queue) return undefined;
    this.#memory[this.#statusPosition] = status;
    queue.push(this.#head, (status === RequestStatus.ok ? this.#writableLength : 0) + 1);
    return queue;
  }

  #takeTransfer(sector: number, buffers: Segments, limits: DiskLimits): number | undefined {
    if (!isInside(sector, buffers.byteLength, limits)) return RequestStatus.ioError;
    this.position = sector * SECTOR;
    this.data.copyFrom(buffers);
    return undefined;
  }

  /** An array of struct virtio_blk_discard_write_zeroes. */
  #takeRanges(readable: Segments, limits: DiskLimits): number | undefined {
    const count = readable.byteLength / HEADER_LENGTH;
    if (limits.readOnly || !Number.isInteger(count) || count < 1 || count > MAX_RANGES) {
      return RequestStatus.ioError;
    }
    const isWriteZeroes = this.type === RequestType.writeZeroes;
    this.rangeCount = count;
    for (let i = 0; readable.takeFirst(this.#headerBytes); i++) {
      const sector = this.#header.getUint32(0, true) + this.#header.getUint32(4, true) * 2 ** 32;
      const sectors = this.#header.getUint32(8, true);
      const flags = this.#header.getUint32(12, true);
      if ((flags & ~(isWriteZeroes ? UNMAP : 0)) !== 0) return RequestStatus.unsupported;
      if (!isInside(sector, sectors * SECTOR, limits)) return RequestStatus.ioError;
      if (isWriteZeroes && sectors > MAX_WRITE_ZEROES_SECTORS) return RequestStatus.ioError;
      this.ranges[2 * i] = sector * SECTOR;
      this.ranges[2 * i + 1] = sectors * SECTOR;
      this.mayUnmap[i] = limits.sparse ? flags & UNMAP : 0;
    }
    return undefined;
  }
}

/** Whether `length` bytes from `sector` on are whole sectors of the disk. */
function isInside(sector: number, length: number, { size }: DiskLimits): boolean {
  const capacity = Math.floor(size / SECTOR);
  return length % SECTOR === 0 && sector <= capacity && length / SECTOR <= capacity - sector;
}
