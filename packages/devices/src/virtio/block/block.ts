import { struct, u8, u16, u32, u64 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import type { VirtioBackend } from '../backend.ts';
import { VirtioDeviceId } from '../constants.ts';
import { VirtqueueError } from '../queue/errors.ts';
import type { SplitQueue } from '../queue/split-queue.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';
import type { DiskBackend } from './disk.ts';

/** Feature bits (virtio 1.3, section 5.2.3). */
const F_SEG_MAX = 2;
const F_RO = 5;
const F_BLK_SIZE = 6;
const F_FLUSH = 9;
const F_MQ = 12;
const F_DISCARD = 13;
const F_WRITE_ZEROES = 14;

/** Request types (section 5.2.6). */
const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;
const T_DISCARD = 11;
const T_WRITE_ZEROES = 13;

const S_OK = 0;
const S_IOERR = 1;
const S_UNSUPP = 2;

/** All positions and lengths of requests count these, whatever the block size is. */
const SECTOR = 512;
const HEADER_LENGTH = 16;
/** Bytes of the answer to GET_ID. */
export const BLOCK_ID_LENGTH = 20;

const QUEUE_COUNT = 16;
const QUEUE_SIZE = 256;
/** A request's buffers beside the header and the status. */
const SEG_MAX = QUEUE_SIZE - 2;
const MAX_RANGES = 32;
const MAX_DISCARD_SECTORS = 0xffff_ffff;
/** 32 MiB: where the host has to write the zeroes, that is what one request may take. */
const MAX_WRITE_ZEROES_SECTORS = 0x1_0000;

const WRITE_ZEROES_UNMAP = 1;

/** struct virtio_blk_config (section 5.2.4). */
const config = struct(
  {
    capacity: u64,
    sizeMax: u32,
    segMax: u32,
    geometry: u32,
    blkSize: u32,
    physicalBlockExp: u8,
    alignmentOffset: u8,
    minIoSize: u16,
    optIoSize: u32,
    writeback: u8,
    unused0: u8,
    numQueues: u16,
    maxDiscardSectors: u32,
    maxDiscardSeg: u32,
    discardSectorAlignment: u32,
    maxWriteZeroesSectors: u32,
    maxWriteZeroesSeg: u32,
    writeZeroesMayUnmap: u8,
  },
  { name: 'virtio_blk_config', packed: true },
);

/** What the guest sees of a disk. */
export interface BlockOptions {
  /** Bytes; what does not fill a sector of 512 at the end is not shown. */
  readonly size: number;
  readonly readOnly?: boolean;
  /** Logical block size in bytes, a power of two of at least 512; 512 unless given. */
  readonly blockSize?: number;
  /** Offers DISCARD; true unless given. */
  readonly sparse?: boolean;
  /** Serial number of at most 20 bytes. */
  readonly id?: string;
}

/**
 * The transport's view of a virtio block device.
 * @throws DeviceError BAD_OPTION
 */
export function blockModel(options: BlockOptions): VirtioDeviceModel {
  const { size, readOnly = false, blockSize = SECTOR, sparse = true, id = '' } = options;
  if (blockSize < SECTOR || blockSize > 2 ** 31 || !Number.isInteger(Math.log2(blockSize))) {
    throw new DeviceError(
      'BAD_OPTION',
      `A block size is a power of two of at least ${SECTOR}, not ${blockSize}.`,
    );
  }
  if (Buffer.byteLength(id) > BLOCK_ID_LENGTH) {
    throw new DeviceError('BAD_OPTION', `The disk id '${id}' is longer than ${BLOCK_ID_LENGTH} bytes.`);
  }
  const bytes = new Uint8Array(config.size);
  const fields = config.attach(bytes.buffer);
  fields.capacity = Math.floor(size / SECTOR);
  fields.segMax = SEG_MAX;
  fields.blkSize = blockSize;
  fields.numQueues = QUEUE_COUNT;
  const features = [F_SEG_MAX, F_BLK_SIZE, F_MQ];
  if (readOnly) {
    features.push(F_RO);
  } else {
    features.push(F_FLUSH, F_WRITE_ZEROES);
    fields.maxWriteZeroesSectors = MAX_WRITE_ZEROES_SECTORS;
    fields.maxWriteZeroesSeg = MAX_RANGES;
    fields.writeZeroesMayUnmap = sparse ? 1 : 0;
    if (sparse) {
      features.push(F_DISCARD);
      fields.maxDiscardSectors = MAX_DISCARD_SECTORS;
      fields.maxDiscardSeg = MAX_RANGES;
      fields.discardSectorAlignment = blockSize / SECTOR;
    }
  }
  return {
    deviceId: VirtioDeviceId.block,
    features,
    queueSizes: new Array<number>(QUEUE_COUNT).fill(QUEUE_SIZE),
    config: bytes,
  };
}

/** Serves block requests from a disk, straight between it and guest memory. */
export class BlockBackend implements VirtioBackend {
  readonly #disk: DiskBackend;
  readonly #readOnly: boolean;
  readonly #sparse: boolean;
  readonly #id = new Uint8Array(BLOCK_ID_LENGTH);
  /** In sectors. */
  readonly #capacity: number;
  readonly #header = new DataView(new ArrayBuffer(HEADER_LENGTH));
  readonly #headerBytes = new Uint8Array(this.#header.buffer);

  constructor(disk: DiskBackend, options: Omit<BlockOptions, 'size'>) {
    this.#disk = disk;
    this.#readOnly = options.readOnly ?? false;
    this.#sparse = options.sparse ?? true;
    this.#capacity = Math.floor(disk.size / SECTOR);
    new TextEncoder().encodeInto(options.id ?? '', this.#id);
  }

  activate(): void {}

  reset(): void {}

  handle(queue: SplitQueue): boolean {
    const { readable, writable, head } = queue;
    // The status is the last writable byte, wherever the driver cut the buffers (section 5.2.6.4).
    const status = writable.takeLastByte();
    if (status < 0)
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a block request without status`);
    if (!readable.takeFirst(this.#headerBytes)) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a block request without header`);
    }
    const length = writable.byteLength;
    const result = this.#execute(queue);
    writable.memory[status] = result;
    queue.push(head, (result === S_OK ? length : 0) + 1);
    return true;
  }

  /** Writes what is cached to stable storage. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#readOnly) this.#disk.flush();
    } finally {
      this.#disk[Symbol.dispose]();
    }
  }

  #execute(queue: SplitQueue): number {
    const { readable, writable } = queue;
    const type = this.#header.getUint32(0, true);
    const sector = this.#header.getUint32(8, true) + this.#header.getUint32(12, true) * 2 ** 32;
    try {
      switch (type) {
        case T_IN:
          if (!this.#isInside(sector, writable.byteLength)) return S_IOERR;
          if (writable.count > 0) this.#disk.readv(sector * SECTOR, writable);
          return S_OK;
        case T_OUT:
          if (this.#readOnly || !this.#isInside(sector, readable.byteLength)) return S_IOERR;
          if (readable.count > 0) this.#disk.writev(sector * SECTOR, readable);
          return S_OK;
        case T_FLUSH:
          if (!this.#readOnly) this.#disk.flush();
          return S_OK;
        case T_GET_ID:
          return writable.scatter(this.#id) === BLOCK_ID_LENGTH ? S_OK : S_IOERR;
        case T_DISCARD:
          return this.#sparse ? this.#changeRanges(queue, false) : S_UNSUPP;
        case T_WRITE_ZEROES:
          return this.#changeRanges(queue, true);
        default:
          return S_UNSUPP;
      }
    } catch {
      // The disk's error is the guest's to see; its driver reports it with the sector.
      return S_IOERR;
    }
  }

  /** DISCARD and WRITE_ZEROES: an array of struct virtio_blk_discard_write_zeroes. */
  #changeRanges(queue: SplitQueue, isWriteZeroes: boolean): number {
    const { readable } = queue;
    const ranges = readable.byteLength / HEADER_LENGTH;
    if (this.#readOnly || !Number.isInteger(ranges) || ranges < 1 || ranges > MAX_RANGES) return S_IOERR;
    while (readable.takeFirst(this.#headerBytes)) {
      const sector = this.#header.getUint32(0, true) + this.#header.getUint32(4, true) * 2 ** 32;
      const count = this.#header.getUint32(8, true);
      const flags = this.#header.getUint32(12, true);
      if ((flags & ~(isWriteZeroes ? WRITE_ZEROES_UNMAP : 0)) !== 0) return S_UNSUPP;
      if (!this.#isInside(sector, count * SECTOR)) return S_IOERR;
      if (isWriteZeroes && count > MAX_WRITE_ZEROES_SECTORS) return S_IOERR;
      if (count === 0) continue;
      if (isWriteZeroes) {
        const mayUnmap = this.#sparse && (flags & WRITE_ZEROES_UNMAP) !== 0;
        this.#disk.writeZeroes(sector * SECTOR, count * SECTOR, mayUnmap);
      } else {
        this.#disk.discard(sector * SECTOR, count * SECTOR);
      }
    }
    return S_OK;
  }

  /** Whether `length` bytes from `sector` on are whole sectors of the disk. */
  #isInside(sector: number, length: number): boolean {
    return length % SECTOR === 0 && sector <= this.#capacity && length / SECTOR <= this.#capacity - sector;
  }
}
