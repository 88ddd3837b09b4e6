import { struct, u8, u16, u32, u64 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import { VirtioDeviceId, VirtioFeature } from '../constants.ts';
import { checkBlockSize, SECTOR } from '../disk-image.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

/** Feature bits (virtio 1.3, section 5.2.3). */
const F_SEG_MAX = 2;
const F_RO = 5;
const F_BLK_SIZE = 6;
const F_FLUSH = 9;
const F_MQ = 12;
const F_DISCARD = 13;
const F_WRITE_ZEROES = 14;

/** Bytes of the answer to GET_ID. */
export const BLOCK_ID_LENGTH = 20;

const QUEUE_COUNT = 16;
/** As many as there are MSI-X vectors in a page, but for that of the configuration. */
const MAX_QUEUE_COUNT = 255;
const QUEUE_SIZE = 256;
/** A request's buffers beside the header and the status. */
const SEG_MAX = QUEUE_SIZE - 2;
export const MAX_RANGES = 32;
const MAX_DISCARD_SECTORS = 0xffff_ffff;
/** 32 MiB: where the host has to write the zeroes, that is what one request may take. */
export const MAX_WRITE_ZEROES_SECTORS = 0x1_0000;

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

/** Changes the capacity in a device's configuration. */
export function setCapacity(view: DataView, size: number): void {
  config.attach(view.buffer, view.byteOffset).capacity = Math.floor(size / SECTOR);
}

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
  /** Queues, from 1 to 255; 16 unless given. */
  readonly queueCount?: number;
  /** Offers packed rings, which save the device and the driver cache misses; false unless given. */
  readonly packedQueue?: boolean;
}

/**
 * The transport's view of a virtio block device.
 * @throws DeviceError BAD_OPTION
 */
export function blockModel(options: BlockOptions): VirtioDeviceModel {
  const { size, readOnly = false, blockSize = SECTOR, sparse = true, id = '' } = options;
  const { queueCount = QUEUE_COUNT, packedQueue = false } = options;
  checkBlockSize(blockSize);
  if (Buffer.byteLength(id) > BLOCK_ID_LENGTH) {
    throw new DeviceError('BAD_OPTION', `The disk id '${id}' is longer than ${BLOCK_ID_LENGTH} bytes.`);
  }
  if (!Number.isInteger(queueCount) || queueCount < 1 || queueCount > MAX_QUEUE_COUNT) {
    throw new DeviceError('BAD_OPTION', `A disk has from 1 to ${MAX_QUEUE_COUNT} queues, not ${queueCount}.`);
  }
  const bytes = new Uint8Array(config.size);
  const fields = config.attach(bytes.buffer);
  fields.capacity = Math.floor(size / SECTOR);
  fields.segMax = SEG_MAX;
  fields.blkSize = blockSize;
  fields.numQueues = queueCount;
  const features: number[] = [F_SEG_MAX, F_BLK_SIZE, F_MQ];
  if (packedQueue) features.push(VirtioFeature.ringPacked);
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
    queueSizes: new Array<number>(queueCount).fill(QUEUE_SIZE),
    config: bytes,
  };
}
