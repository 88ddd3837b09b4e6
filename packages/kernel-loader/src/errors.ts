/** What is wrong, for code that reacts to it. */
export type KernelImageErrorCode =
  | 'TRUNCATED'
  | 'NOT_A_KERNEL'
  | 'WRONG_ARCHITECTURE'
  | 'UNSUPPORTED_FORMAT'
  | 'UNSUPPORTED_COMPRESSION'
  | 'DECOMPRESSION_FAILED'
  | 'TOO_LARGE'
  | 'OUTSIDE_MEMORY'
  | 'MISALIGNED';

/** A file that is no kernel this machine can boot. The message says what to do about it. */
export class KernelImageError extends Error {
  override readonly name = 'KernelImageError';
  readonly code: KernelImageErrorCode;

  constructor(code: KernelImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
