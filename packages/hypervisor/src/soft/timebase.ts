/** Frequency of the `time` CSR, in Hz: what boards put into `timebase-frequency`. */
export const TIMEBASE_FREQUENCY = 10_000_000;

const TICKS_PER_MILLISECOND = TIMEBASE_FREQUENCY / 1000;

/** Readings of both clocks, of which the closest pair is taken: a thread may be interrupted between two. */
const READINGS = 64;

/**
 * The `time` CSR. Threads that are given the same epoch agree to about a microsecond: `performance.now()` starts anew in each
 * thread, so it is tied to the system's monotonic clock once.
 *
 * @param epoch nanoseconds of the monotonic clock when `time` was 0
 * @returns a function that gives ticks, exact below 2^53
 */
export function timebase(epoch: bigint): () => number {
  let start = 0;
  let closest = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < READINGS; reading++) {
    const before = process.hrtime.bigint();
    const now = performance.now();
    const distance = Number(process.hrtime.bigint() - before);
    if (distance < closest) {
      closest = distance;
      start = (Number(before - epoch) + distance / 2) / 1e6 - now;
    }
  }
  return () => Math.floor((start + performance.now()) * TICKS_PER_MILLISECOND);
}
