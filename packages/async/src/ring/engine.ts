import type { ExecutorKind } from '../executor.ts';

/**
 * A pair of queues in memory and what serves them: io_uring's own, or threads of this process that understand the same
 * entries. The submission queue has room for every request and its cancellation, the completion queue for the results
 * of both, so neither ever overflows.
 */
export interface Engine {
  readonly kind: ExecutorKind;
  /** Entries of the submission queue as words, `Sqe.words` each; as many as a power of two. */
  readonly submissions: Uint32Array;
  /** Entries of the completion queue as words, `Cqe.words` each; as many as a power of two. */
  readonly completions: Int32Array;
  /** Words that hold the completion queue's head, ours, and tail, the other side's. */
  readonly completionIndices: Uint32Array;
  readonly completionHead: number;
  readonly completionTail: number;
  /** Readable while the completion queue is not empty, or after it has become so. */
  readonly descriptor: number;
  /** Whether an operation is there at all. */
  supports(operation: number): boolean;
  /** Whether results are ready that come into the queue with the next system call: {@link submit} will do. */
  readonly hasUnposted: boolean;
  /** Called when `descriptor` was readable, before the completions are looked at. */
  acknowledge(): void;
  /**
   * Hands over `count` more entries, which follow those of the last call.
   * @returns how many were taken, or a negative errno
   */
  submit(count: number): number;
  /** Nothing is under way when it returns. */
  close(): void;
}
