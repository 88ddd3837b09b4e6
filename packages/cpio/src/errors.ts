/** What is wrong, for code that reacts to it. */
export type CpioErrorCode =
  | 'NOT_CPIO'
  | 'COMPRESSED'
  | 'TRUNCATED'
  | 'BAD_HEADER'
  | 'BAD_CHECKSUM'
  | 'BAD_NAME'
  | 'TOO_LARGE'
  | 'WRONG_SIZE'
  | 'FINISHED';

/** An archive that cannot be read, or an entry that cannot be written. */
export class CpioError extends Error {
  override readonly name = 'CpioError';
  readonly code: CpioErrorCode;
  /** Bytes from the start of the archive to the header of the entry in question. */
  readonly offset: number;

  constructor(code: CpioErrorCode, message: string, offset: number) {
    super(message);
    this.code = code;
    this.offset = offset;
  }
}
