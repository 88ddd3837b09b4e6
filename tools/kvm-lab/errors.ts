/** What is wrong with the lab, or was asked of it. */
export type LabErrorCode =
  /** The command line cannot be followed. */
  | 'USAGE'
  /** A part of the lab is not there: it has not been set up, or a program of the host is missing. */
  | 'NOT_SET_UP'
  /** L1 ended before it served commands; the message has the end of what its console showed. */
  | 'BOOT_FAILED'
  /** L1 ended while a command ran in it. */
  | 'ENDED';

/** An error of the lab. `message` says what to do about it. */
export class LabError extends Error {
  override readonly name = 'LabError';
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
