import { native } from './native.ts';

/** The kernel's id of the calling thread (gettid). */
export function threadId(): number {
  return native.threadId();
}

/** Names the calling thread for `ps`, `top` and debuggers; at most 15 bytes of UTF-8. */
export function setThreadName(name: string): void {
  native.setThreadName(name);
}

/** Binds the calling thread to host processors. */
export function setAffinity(processors: readonly number[]): void {
  native.setAffinity(Int32Array.from(processors));
}

/** The host processors that the calling thread may run on. */
export function affinity(): number[] {
  return native.affinity();
}

/** CLOCK_MONOTONIC in microseconds with a fraction: the same clock in all threads and processes of the host. */
export function monotonicMicroseconds(): number {
  return native.monotonicMicroseconds();
}

/** Writes CLOCK_MONOTONIC in nanoseconds: the low 32 bits to `words[index]`, the high ones to `words[index + 1]`. */
export function readMonotonicNanoseconds(words: Int32Array, index = 0): void {
  native.readMonotonicNanoseconds(words, index);
}
