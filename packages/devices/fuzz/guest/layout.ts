import { RAM } from '../../test/support/machine-memory.ts';

/** Bytes of the guest's memory: little enough to be compared after every step. */
export const RAM_SIZE = 0x4_0000;
export const RAM_END = RAM + RAM_SIZE;

/** Queues that programs can set up; those behind them stay off. */
export const QUEUES = 8;
const QUEUE_AREA = 0x4000;
/** Most entries of a queue, for which the areas below have room. */
export const QUEUE_SIZE = 256;

/** Where a queue's parts are, before a program moves them. */
export function queueArea(queue: number) {
  const start = RAM + QUEUE_AREA * (queue % QUEUES);
  return { descriptors: start, driver: start + 0x1000, device: start + 0x2000, table: start + 0x3000 };
}

/** Where the buffers of valid requests are: behind the queues. */
export const BUFFERS = RAM + QUEUES * QUEUE_AREA;
export const BUFFERS_END = RAM_END;

/** Numbers for mutations: addresses at which something is or ends, offsets into the BAR and into configuration space. */
export const PLACES: readonly bigint[] = [
  RAM,
  RAM - 1,
  RAM_END,
  RAM_END - 1,
  RAM_END - 4096,
  BUFFERS,
  ...[0, 1, 2, 3].flatMap((queue) => Object.values(queueArea(queue))),
  // Structures in the BAR, and fields at their ends.
  ...[0, 0x14, 0x16, 0x1c, 0x34, 0x38, 0x3a, 0x3c, 0x1000, 0x2000, 0x20fc, 0x2100, 0x3000, 0x3004, 0x4000],
  ...[0x6000, 0x600c, 0x6ffc, 0x7000, 0x7ffc, 0x7fff, 0x8000],
  // Registers of configuration space.
  ...[4, 6, 0x0c, 0x10, 0x14, 0x24, 0x34, 0x3c, 0x40, 0xff, 0x100, 0xffc],
  // Where the BAR, the window around it and configuration space are.
  ...[0x4000_0000, 0x4000_8000, 0x4fff_8000, 0x4fff_ffff, 0x3000_0000, 0xffff_0000],
].map(BigInt);
