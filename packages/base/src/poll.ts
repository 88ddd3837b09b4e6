import { FileDescriptor } from './descriptor.ts';
import { native } from './native.ts';
import { Readiness } from './readiness.ts';

/**
 * Waits for many descriptors at once, blocking the calling thread, without allocating. Each descriptor has a token, a
 * number from 0 to 2^31 - 1 that says to the waiter what it is.
 *
 * Remove a descriptor before closing it: as long as a duplicate is open anywhere, the kernel goes on reporting it.
 */
export class Poll implements Disposable {
  readonly descriptor: FileDescriptor;
  /** Pairs of a token and its `Readiness`, as many as the last `wait` returned. */
  readonly results: Int32Array;

  /** @param capacity how many descriptors one `wait` reports, at most 256; the rest is reported by the next */
  constructor(capacity = 64) {
    this.results = new Int32Array(2 * capacity);
    this.descriptor = new FileDescriptor(native.createPoll());
  }

  /** @throws {SystemError} EEXIST when it is watched already, EPERM for a regular file */
  add(fd: number, token: number, interest: number = Readiness.readable): void {
    native.addToPoll(this.descriptor.number, fd, interest, token);
  }

  /** Changes token and interest; re-arms a descriptor that was watched with `oneShot`. */
  change(fd: number, token: number, interest: number): void {
    native.changeInPoll(this.descriptor.number, fd, interest, token);
  }

  remove(fd: number): void {
    native.removeFromPoll(this.descriptor.number, fd);
  }

  /**
   * @param timeoutMs milliseconds; for ever when left out
   * @returns how many descriptors are ready, 0 at the timeout
   */
  wait(timeoutMs = -1): number {
    return native.waitForPoll(this.descriptor.number, this.results, timeoutMs);
  }

  /** The token of result `index`. */
  token(index: number): number {
    return this.results[2 * index] ?? -1;
  }

  /** The `Readiness` of result `index`. */
  readiness(index: number): number {
    return this.results[2 * index + 1] ?? 0;
  }

  [Symbol.dispose](): void {
    this.descriptor[Symbol.dispose]();
  }
}
