import { struct, u32 } from '@tsvmm/struct';
import { VirtioDeviceId } from '../constants.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

/** Feature bits (virtio 1.3, section 5.5.3). */
const F_MUST_TELL_HOST = 0;
const F_STATS_VQ = 1;
const F_DEFLATE_ON_OOM = 2;
const F_PAGE_REPORTING = 5;

/** The queues (section 5.5.2). Without free page hints, reporting comes right after the statistics, as Linux has it. */
export const BalloonQueue = { inflate: 0, deflate: 1, stats: 2, reporting: 3 } as const;
const QUEUE_SIZE = 128;

/** The balloon counts in pages of this size, whatever the guest's or the host's are (section 5.5.6). */
export const BALLOON_PAGE = 4096;

/** struct virtio_balloon_config (section 5.5.4), without what belongs to features that are not offered. */
const config = struct({ numPages: u32, actual: u32 }, { name: 'virtio_balloon_config', packed: true });

/** What the guest sees of a balloon. */
export interface BalloonOptions {
  /** Lets the driver report free pages, whose memory the host takes until the guest uses them; false unless given. */
  readonly pageReporting?: boolean;
}

/** The transport's view of a memory balloon. */
export function balloonModel({ pageReporting = false }: BalloonOptions = {}): VirtioDeviceModel {
  const queues = Object.values(BalloonQueue).slice(0, pageReporting ? 4 : 3);
  return {
    deviceId: VirtioDeviceId.balloon,
    features: [F_MUST_TELL_HOST, F_STATS_VQ, F_DEFLATE_ON_OOM, ...(pageReporting ? [F_PAGE_REPORTING] : [])],
    queueSizes: queues.map(() => QUEUE_SIZE),
    config: new Uint8Array(config.size),
    writableConfig: { start: config.offsets.actual, end: config.offsets.actual + 4 },
  };
}

/** The configuration as a new driver finds it, whose balloon is empty. */
export function startConfig(view: DataView, pages: number): void {
  const fields = config.attach(view.buffer, view.byteOffset);
  fields.numPages = pages;
  fields.actual = 0;
}

/** Says in a device's configuration how many pages the balloon is to hold. */
export function setTarget(view: DataView, pages: number): void {
  config.attach(view.buffer, view.byteOffset).numPages = pages;
}

/** How many pages the driver says that the balloon holds. */
export function actualPages(view: DataView): number {
  return config.attach(view.buffer, view.byteOffset).actual;
}
