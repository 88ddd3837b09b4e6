/**
 * Places of a memory that a request moves bytes to or from, in order. `memory` may view a SharedArrayBuffer, such as a
 * guest's RAM: its bytes move between there and the kernel without a copy.
 */
export interface Segments {
  /** What the offsets count in. */
  readonly memory: Uint8Array;
  /** Pairs of byte offset and byte length in `memory`. */
  readonly pairs: Float64Array;
  /** How many pairs are meant. */
  readonly count: number;
  /** Sum of the lengths. */
  readonly byteLength: number;
}

/** Gets the results of requests. One object serves any number of them; `token` tells which one it is about. */
export interface Completion {
  /**
   * A request has ended. Called exactly once for each, on the executor's thread, never from inside of the call that
   * made the request. An error that is thrown here becomes the thread's uncaught exception.
   * @param token what was given with the request
   * @param result what the method that made the request says; a negative errno when the host refused
   */
  completed(token: number, result: number): void;
}

/** The back ends, under crosvm's names. */
export type ExecutorKind = 'uring' | 'epoll';

/** How a range's place on the disk is changed; see `fallocate` of `@tsvmm/base`. */
export type AllocationMode = 'allocate' | 'punchHole' | 'zeroRange';

/** What the methods answer in the place of a request's number when all slots are taken. */
export const NO_ROOM = -1;

/**
 * Does I/O while its thread does something else. A request takes one of `capacity` slots, which exist from the start, and
 * is known by a number; its result goes to a {@link Completion}. Nothing is allocated for it.
 *
 * Requests are handed over together: at {@link flush}, or by themselves when the current job of the event loop is done.
 * They run in no particular order, also those of one file. A descriptor has to stay open, and the segments' `pairs` have
 * to stay unchanged, until the request's completion; the memory itself is kept from being freed. Do not transfer its
 * ArrayBuffer away meanwhile.
 *
 * An executor belongs to the thread that opened it and keeps its event loop alive until it is disposed of.
 */
export interface Executor extends AsyncDisposable {
  readonly kind: ExecutorKind;
  /** How many requests can be under way. */
  readonly capacity: number;
  /** How many are. */
  readonly pending: number;
  /**
   * Readable when there may be results: for a thread that blocks in `Poll` of `@tsvmm/base` rather than in its event
   * loop, and then calls {@link reap}.
   */
  readonly descriptor: number;

  /**
   * Fills the segments with the bytes of a file from `position` on. The result is how many: fewer than asked for only at
   * the file's end. With position -1 it reads once what a pipe, socket or character device has, and waits until that is
   * something or the end; the descriptor has to be non-blocking.
   * @returns the request's number, or {@link NO_ROOM}
   * @throws ExecutorError BAD_REQUEST when a segment does not lie in its memory; CLOSED
   */
  read(fd: number, position: number, segments: Segments, completion: Completion, token: number): number;
  /** Writes the segments to `position` on; the result is their length. With position -1 like one `writev`. */
  write(fd: number, position: number, segments: Segments, completion: Completion, token: number): number;
  /** Brings a file's data, and unless `dataOnly` all its attributes, to stable storage; the result is 0. */
  sync(fd: number, dataOnly: boolean, completion: Completion, token: number): number;
  /** Reserves, frees or zeroes a range of a file or block device (which cannot be reserved); the result is 0. */
  allocate(
    fd: number,
    mode: AllocationMode,
    position: number,
    length: number,
    completion: Completion,
    token: number,
  ): number;
  /** Says that a range of a file or block device is not needed; the result is 0. */
  discard(fd: number, position: number, length: number, completion: Completion, token: number): number;
  /** Waits until a descriptor is ready; the result is the bits of `Readiness` of `@tsvmm/base`. */
  poll(fd: number, interest: number, completion: Completion, token: number): number;
  /** Ends after a time, with result 0. */
  timeout(milliseconds: number, completion: Completion, token: number): number;
  /**
   * Asks for the end of a request. Its completion comes in any case: with -ECANCELED, or as if nothing had been asked
   * when it was too late. A number whose request has ended means nothing and does no harm.
   */
  cancel(request: number): void;
  /** Hands over what has been requested and takes the results that are there. */
  flush(): void;
  /** Takes the results that are there. @returns how many requests ended */
  reap(): number;
  /** The same for whoever looks again and again: while there are none it makes no system call. @returns how many requests ended */
  look(): number;
  /** Resolves when a slot has become free since a method answered {@link NO_ROOM}. Try again then. */
  room(): Promise<void>;
  /** Refuses new requests, cancels those under way, and resolves when the last of them has ended. */
  [Symbol.asyncDispose](): Promise<void>;
}
