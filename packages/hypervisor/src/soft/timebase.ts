/** Frequency of the `time` CSR, in Hz: what boards put into `timebase-frequency`. */
export const TIMEBASE_FREQUENCY = 10_000_000;

const TICKS_PER_MILLISECOND = TIMEBASE_FREQUENCY / 1000;

/**
 * The `time` CSR. Threads that are given the same epoch agree: `performance.now()` starts anew in each thread, so it is tied
 * to the system's monotonic clock once.
 *
 * @param epoch nanoseconds of the monotonic clock when `time` was 0
 * @returns a function that gives ticks, exact below 2^53
 */
export function timebase(epoch: bigint): () => number {
  const start = Number(process.hrtime.bigint() - epoch) / 1e6 - performance.now();
  return () => Math.floor((start + performance.now()) * TICKS_PER_MILLISECOND);
}
