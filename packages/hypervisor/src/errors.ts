export type HypervisorErrorCode =
  /** The back end, or this host, cannot do what was asked. */
  | 'UNSUPPORTED'
  /** The hypervisor is not there, or may not be used. */
  | 'UNAVAILABLE'
  /** An argument is out of range, misaligned, or overlaps what is there. */
  | 'INVALID_ARGUMENT'
  /** The object was disposed, or is in a state that does not allow the call. */
  | 'INVALID_STATE'
  /** The host has not enough of something. */
  | 'NO_RESOURCES';

/** What every hypervisor call throws; the message says what to do. */
export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly code: HypervisorErrorCode;

  constructor(code: HypervisorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
