import { FileDescriptor } from './descriptor.ts';
import { onCounter } from './event-fd.ts';
import { native } from './native.ts';
import type { Watcher } from './watcher.ts';

/** A timer of the kernel (timerfd), as a descriptor that other waiting mechanisms take. Times are in nanoseconds. */
export class Timer implements Disposable {
  readonly descriptor: FileDescriptor;

  /** @param clock `monotonic` counts from the start of the host; `realtime` is the time of day and follows its jumps */
  constructor(clock: 'monotonic' | 'realtime' = 'monotonic') {
    this.descriptor = new FileDescriptor(native.createTimer(clock === 'realtime'));
  }

  /**
   * Expires `nanoseconds` from now (0: as soon as possible), and then every `periodNs` unless that is 0. Replaces what
   * was armed before.
   */
  arm(nanoseconds: number, periodNs = 0): void {
    // Zero would disarm.
    native.setTimer(this.descriptor.number, nanoseconds === 0 ? 1 : nanoseconds, periodNs, false);
  }

  /** Expires when the clock shows `nanoseconds`, at once when that is past. */
  armAt(nanoseconds: number, periodNs = 0): void {
    native.setTimer(this.descriptor.number, nanoseconds === 0 ? 1 : nanoseconds, periodNs, true);
  }

  /** Stops it and forgets expirations that nobody has read. */
  disarm(): void {
    native.setTimer(this.descriptor.number, 0, 0, false);
  }

  /** Blocks the calling thread; returns how often it has expired since the last reading, 0 at the timeout. */
  wait(timeoutMs = -1): number {
    return native.waitCounter(this.descriptor.number, timeoutMs);
  }

  /** How often it has expired since the last reading. */
  tryRead(): number {
    return native.readCounter(this.descriptor.number);
  }

  /** Calls back on this thread's event loop with the number of expirations. */
  onExpired(callback: (expirations: number) => void): Watcher {
    return onCounter(this.descriptor.number, callback);
  }

  [Symbol.dispose](): void {
    this.descriptor[Symbol.dispose]();
  }
}
