import { struct, u64 } from '@tsvmm/struct';
import { VirtioDeviceId } from '../constants.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

const QUEUE_SIZE = 256;

/** struct virtio_pmem_config (virtio 1.3, section 5.19.4). */
const config = struct({ start: u64, size: u64 }, { name: 'virtio_pmem_config', packed: true });

/** Guest-physical addresses of persistent memory, in bytes. */
export interface PmemRange {
  readonly start: number;
  readonly size: number;
}

/** The transport's view of persistent memory, which whoever runs the guest puts at `range`. */
export function pmemModel({ start, size }: PmemRange): VirtioDeviceModel {
  const bytes = new Uint8Array(config.size);
  const fields = config.attach(bytes.buffer);
  fields.start = start;
  fields.size = size;
  return { deviceId: VirtioDeviceId.pmem, features: [], queueSizes: [QUEUE_SIZE], config: bytes };
}
