/** What is wrong, for code that reacts to it. */
export type FdtErrorCode =
  | 'BAD_NAME'
  | 'BAD_VALUE'
  | 'DUPLICATE'
  | 'TOO_DEEP'
  | 'TOO_LARGE'
  | 'NOT_FDT'
  | 'UNSUPPORTED_VERSION'
  | 'TRUNCATED'
  | 'BAD_STRUCTURE';

/** A tree that cannot be written down, or bytes that are no devicetree. */
export class FdtError extends Error {
  override readonly name = 'FdtError';
  readonly code: FdtErrorCode;

  constructor(code: FdtErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
