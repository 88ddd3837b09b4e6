import { BorrowedDescriptor, FileDescriptor } from './descriptor.ts';
import { native } from './native.ts';
import { Readiness } from './readiness.ts';
import { Watcher } from './watcher.ts';

/**
 * A counter in the kernel that threads and processes signal and wait for. Signals add up; reading takes them all.
 * Counts above 2^53 are rounded.
 */
export class EventFd implements Disposable {
  readonly descriptor: FileDescriptor;

  /** Takes over a descriptor, for example one that was received from a socket. */
  constructor(descriptor: FileDescriptor) {
    this.descriptor = descriptor;
  }

  static create(initial = 0): EventFd {
    return new EventFd(new FileDescriptor(native.createEvent(initial)));
  }

  /** Uses an eventfd that another thread of this process owns and keeps open. Disposing leaves it open. */
  static fromDescriptor(number: number): EventFd {
    return new EventFd(new BorrowedDescriptor(number));
  }

  /** Adds `count`. It never blocks on an eventfd made here; a counter that is full stays full. */
  signal(count = 1): void {
    native.signalEvent(this.descriptor.number, count);
  }

  /**
   * Blocks the calling thread until there is a signal. (A worker that blocks here cannot be terminated; signal it.)
   * @param timeoutMs milliseconds; for ever when left out
   * @returns the count, 0 at the timeout
   */
  wait(timeoutMs = -1): number {
    return native.waitCounter(this.descriptor.number, timeoutMs);
  }

  /** Takes the count without ever blocking; 0 when there was no signal. */
  tryRead(): number {
    return native.readCounter(this.descriptor.number);
  }

  /** Takes the count on this thread's event loop and calls back with it. */
  onReadable(callback: (count: number) => void): Watcher {
    return onCounter(this.descriptor.number, callback);
  }

  [Symbol.dispose](): void {
    this.descriptor[Symbol.dispose]();
  }
}

/** Watches an eventfd or timerfd, reading its counter before each call back. */
export function onCounter(fd: number, callback: (count: number) => void): Watcher {
  return new Watcher(fd, Readiness.readable, () => {
    const count = native.readCounter(fd);
    // Zero: another thread was faster.
    if (count > 0) callback(count);
  });
}
