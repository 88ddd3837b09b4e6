/** What is wrong, for code that reacts to it. */
export type DiskErrorCode =
  /** An argument or option cannot be right. */
  | 'BAD_OPTION'
  /** The file cannot be opened or created; `cause` has the system's error. */
  | 'OPEN_FAILED'
  /** Another program uses the image in a way that excludes this one. */
  | 'LOCKED'
  /** The bytes are not a well-formed image of their format. */
  | 'BAD_IMAGE'
  /** The image uses something that is not implemented; the message names it. */
  | 'UNSUPPORTED'
  /** The image is marked, or was found, to contradict itself: repair it before writing. */
  | 'CORRUPT'
  /** Images refer to each other too many levels deep. */
  | 'TOO_DEEP'
  /** A request does not lie inside the disk. */
  | 'OUT_OF_RANGE'
  /** The disk, or its format, does not take writes. */
  | 'READ_ONLY'
  /** What would be written makes another format of an image that was opened without giving its format. */
  | 'FORMAT_UNKNOWN'
  /** The disk was closed. */
  | 'CLOSED';

/** A disk image that cannot be opened or a request that cannot be served. Errors of the host stay `SystemError`s. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;

  constructor(code: DiskErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
