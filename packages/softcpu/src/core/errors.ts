export type SoftCpuErrorCode =
  /** RAM and hart blocks do not fit a 32-bit WebAssembly memory, or are not whole pages. */
  | 'BAD_LAYOUT'
  /** There is no hart with this number. */
  | 'NO_SUCH_HART';

/** What this package throws. */
export class SoftCpuError extends Error {
  readonly code: SoftCpuErrorCode;

  constructor(code: SoftCpuErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SoftCpuError';
    this.code = code;
  }
}
