/** What is wrong, for code that reacts to it. */
export type ExecutorErrorCode =
  /** This host has no such back end; the message says why and which one works. */
  | 'UNAVAILABLE'
  /** An argument cannot be right; nothing was started. */
  | 'BAD_REQUEST'
  /** The executor was disposed of. */
  | 'CLOSED';

/** An executor that cannot be opened or a request that cannot be made. Failures of the host arrive as results. */
export class ExecutorError extends Error {
  override readonly name = 'ExecutorError';
  readonly code: ExecutorErrorCode;

  constructor(code: ExecutorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
