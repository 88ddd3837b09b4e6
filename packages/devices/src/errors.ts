/** What went wrong while a machine's devices were put together. */
export type DeviceErrorCode =
  /** Two devices on one bus claim the same address. */
  | 'RANGE_OVERLAP'
  /** A range that is empty or not made of integers below 2^53. */
  | 'BAD_RANGE'
  /** A PCI address, BAR, capability or interrupt pin that cannot be. */
  | 'BAD_PCI_FUNCTION'
  /** No free slot, capability space or vector is left. */
  | 'OUT_OF_SPACE'
  /** A descriptor of a kind that this environment has no attach function for. */
  | 'UNKNOWN_KIND'
  /** An option of a device that is out of its range. */
  | 'BAD_OPTION'
  /** A back end that failed while it was opened or ran. */
  | 'BACKEND_FAILED';

/** An error of whoever configures devices; what a guest does never throws it. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly code: DeviceErrorCode;

  constructor(code: DeviceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
