/** What went wrong, for code that reacts to it. */
export type StructErrorCode =
  | 'BAD_DEFINITION'
  | 'BIG_ENDIAN_HOST'
  | 'OUT_OF_BOUNDS'
  | 'MISALIGNED'
  | 'NOT_SAFE_INTEGER'
  | 'BAD_SNAPSHOT'
  | 'WRONG_NAME'
  | 'WRONG_VERSION'
  | 'WRONG_LAYOUT';

/** A layout that cannot be, memory it does not fit on, a value it cannot hold, or a snapshot of something else. */
export class StructError extends Error {
  override readonly name = 'StructError';
  readonly code: StructErrorCode;

  constructor(code: StructErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
