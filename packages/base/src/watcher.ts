import { type NativeWatcher, native } from './native.ts';

/**
 * Calls back on the event loop of the thread that made it, whenever a descriptor is ready. Level-triggered: it calls
 * again until the callback has read (or written) what there is. It keeps the loop alive until it is disposed or
 * unreferenced.
 *
 * It watches a duplicate of its own, so the descriptor may be closed in any order; and it makes the open file
 * non-blocking, for everybody who shares it.
 */
export class Watcher implements Disposable {
  readonly #native: NativeWatcher;

  /**
   * @param interest `Readiness.readable`, `Readiness.writable` or both
   * @param callback gets the bits of `Readiness`; after `Readiness.failed` it is not called again
   * @throws {SystemError} EPERM for a regular file, which is always ready
   */
  constructor(fd: number, interest: number, callback: (readiness: number) => void) {
    this.#native = native.startWatcher(fd, interest, callback);
  }

  /** Keeps the event loop alive (the state it begins with). */
  ref(): this {
    native.setWatcherReferenced(this.#native, true);
    return this;
  }

  /** Lets the thread end even while this watches. */
  unref(): this {
    native.setWatcherReferenced(this.#native, false);
    return this;
  }

  /** The callback is not called any more. */
  [Symbol.dispose](): void {
    native.stopWatcher(this.#native);
  }
}
