import { struct, u16, u32 } from '@tsvmm/struct';
import type { Segments } from '../queue/segments.ts';

/** Names of the statistics by their tag (virtio 1.3, section 5.5.6.4, and Linux for those from 10 on). */
const NAMES = [
  'swapIn',
  'swapOut',
  'majorFaults',
  'minorFaults',
  'freeMemory',
  'totalMemory',
  'availableMemory',
  'diskCaches',
  'hugetlbAllocations',
  'hugetlbFailures',
  'outOfMemoryKills',
  'allocationStalls',
  'asyncScans',
  'directScans',
  'asyncReclaims',
  'directReclaims',
] as const;

/** The name of something that a guest says of its memory. */
export type BalloonStatistic = (typeof NAMES)[number];

/** What a guest says of its memory; plain data. A guest leaves out what it does not count. */
export interface BalloonStats extends Readonly<Partial<Record<BalloonStatistic, number>>> {
  /** Bytes of its memory that the balloon holds. */
  readonly balloon: number;
}

/** struct virtio_balloon_stat; the value has no alignment. */
const statistic = struct({ tag: u16, low: u32, high: u32 }, { name: 'virtio_balloon_stat', packed: true });

/** More than one driver has; what comes after is not looked at. */
const MAX_STATISTICS = 64;

/**
 * Reads statistics from a request's buffers.
 *
 * The fields of memory and of swapped memory are bytes, the others count events. Tags that are not known are left out,
 * of those that come twice the last is taken, and what is too large for a number loses its low bits.
 */
export function readStatistics(buffers: Segments): Partial<Record<BalloonStatistic, number>> {
  const bytes = new Uint8Array(statistic.size);
  const fields = statistic.attach(bytes.buffer);
  const statistics: Partial<Record<BalloonStatistic, number>> = {};
  for (let i = 0; i < MAX_STATISTICS && buffers.takeFirst(bytes); i++) {
    const name = NAMES[fields.tag];
    if (name !== undefined) statistics[name] = fields.high * 2 ** 32 + fields.low;
  }
  return statistics;
}
