import type { Segments } from './segments.ts';

/**
 * The device's side of a virtqueue, whatever the format of its ring. Everything the driver wrote is read once and checked
 * as it is read; nothing is allocated once the queue is made.
 *
 * `pop` takes the next request and leaves its buffers in `readable` and `writable`, until the next `pop`; `push` gives a
 * request back. Requests may be given back in any order.
 */
export interface Virtqueue {
  /** Number of the queue, from 0. */
  readonly index: number;
  /** The request's buffers for the device to read, in order. */
  readonly readable: Segments;
  /** The request's buffers for the device to write, in order. */
  readonly writable: Segments;
  /** What the request that `pop` took is given back as. */
  readonly head: number;
  /**
   * Takes the next available request.
   * @returns false when there is none
   * @throws VirtqueueError when the driver broke the rules
   */
  pop(): boolean;
  /** Puts the request that `pop` took back, to be popped again later. */
  undoPop(): void;
  /**
   * Gives a request back to the driver.
   * @param head what `head` was
   * @param written bytes written to the request's writable buffers, from their start
   */
  push(head: number, written: number): void;
  /** Whether the driver wants to be told of what has been pushed since this was last asked. */
  needsInterrupt(): boolean;
  /** Asks the driver not to notify while requests are being taken anyway. */
  disableNotifications(): void;
  /**
   * Asks the driver to notify of the next request.
   * @returns true when one has arrived meanwhile, of which there will be no notification
   */
  enableNotifications(): boolean;
}

/** What was negotiated that changes how a queue works. */
export interface VirtqueueOptions {
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}
