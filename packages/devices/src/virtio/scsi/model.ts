import { struct, u16, u32 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import { VirtioDeviceId } from '../constants.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

/** The queues (virtio 1.3, section 5.6.2): requests have all from the third on. */
export const ScsiQueue = { control: 0, event: 1, firstRequest: 2 } as const;

const QUEUE_SIZE = 1024;
const REQUEST_QUEUE_COUNT = 16;
/** With those for control and events, as many as there are MSI-X vectors in a page, but for that of the configuration. */
const MAX_REQUEST_QUEUE_COUNT = 253;
/** A request's buffers beside those of its two headers. */
const SEG_MAX = QUEUE_SIZE - 2;
const MAX_SECTORS = 0xffff;
const COMMANDS_PER_UNIT = 128;
const EVENT_LENGTH = 16;
/** What they are after a reset, whoever drove the device before. */
export const DEFAULT_SIZES = { cdb: 32, sense: 96 } as const;
/** A LUN names a target in one byte. */
export const MAX_TARGETS = 256;

/** struct virtio_scsi_config (section 5.6.4). */
const config = struct(
  {
    numQueues: u32,
    segMax: u32,
    maxSectors: u32,
    cmdPerLun: u32,
    eventInfoSize: u32,
    senseSize: u32,
    cdbSize: u32,
    maxChannel: u16,
    maxTarget: u16,
    maxLun: u32,
  },
  { name: 'virtio_scsi_config', packed: true },
);

/** Bytes of fields in every request, which the driver chooses. */
export interface RequestSizes {
  readonly cdb: number;
  readonly sense: number;
}

/** What the guest sees of a host adapter. */
export interface ScsiOptions {
  /** Queues for requests, from 1 to 253; 16 unless given. */
  readonly queueCount?: number;
}

/**
 * The transport's view of a virtio SCSI host adapter, for targets 0 to `targetCount` - 1 with one logical unit each.
 * @throws DeviceError BAD_OPTION
 */
export function scsiModel(
  targetCount: number,
  { queueCount = REQUEST_QUEUE_COUNT }: ScsiOptions = {},
): VirtioDeviceModel {
  if (targetCount < 1 || targetCount > MAX_TARGETS) {
    throw new DeviceError(
      'BAD_OPTION',
      `A SCSI adapter has from 1 to ${MAX_TARGETS} disks, not ${targetCount}.`,
    );
  }
  if (!Number.isInteger(queueCount) || queueCount < 1 || queueCount > MAX_REQUEST_QUEUE_COUNT) {
    throw new DeviceError(
      'BAD_OPTION',
      `A SCSI adapter has from 1 to ${MAX_REQUEST_QUEUE_COUNT} queues for requests, not ${queueCount}.`,
    );
  }
  const bytes = new Uint8Array(config.size);
  const fields = config.attach(bytes.buffer);
  fields.numQueues = queueCount;
  fields.segMax = SEG_MAX;
  fields.maxSectors = MAX_SECTORS;
  fields.cmdPerLun = COMMANDS_PER_UNIT;
  fields.eventInfoSize = EVENT_LENGTH;
  fields.senseSize = DEFAULT_SIZES.sense;
  fields.cdbSize = DEFAULT_SIZES.cdb;
  fields.maxTarget = targetCount - 1;
  return {
    deviceId: VirtioDeviceId.scsi,
    features: [],
    queueSizes: new Array<number>(ScsiQueue.firstRequest + queueCount).fill(QUEUE_SIZE),
    config: bytes,
    writableConfig: { start: config.offsets.senseSize, end: config.offsets.cdbSize + 4 },
  };
}

/** What the driver chose. */
export function requestSizes(view: DataView): RequestSizes {
  const fields = config.attach(view.buffer, view.byteOffset);
  return { cdb: fields.cdbSize, sense: fields.senseSize };
}

/** Puts what a driver chose back to what it is after a reset. */
export function resetSizes(view: DataView): void {
  const fields = config.attach(view.buffer, view.byteOffset);
  fields.cdbSize = DEFAULT_SIZES.cdb;
  fields.senseSize = DEFAULT_SIZES.sense;
}
