export type VirtualMachineErrorCode =
  /** The call does not fit the machine's state: it was started already, or disposed. */
  | 'INVALID_STATE'
  /** A thread of the machine ended with an error. */
  | 'THREAD_FAILED'
  /** The machine has no such thing. */
  | 'UNSUPPORTED'
  /** Creation was aborted. */
  | 'ABORTED';

/** The machine as a whole failed; the parts throw errors of their own. */
export class VirtualMachineError extends Error {
  override readonly name = 'VirtualMachineError';
  readonly code: VirtualMachineErrorCode;

  constructor(code: VirtualMachineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
