/** What is wrong, for code that reacts to it. */
export type VhostUserErrorCode =
  /** The other side broke the protocol. */
  | 'PROTOCOL'
  /** The other side lacks something that is needed here. */
  | 'UNSUPPORTED'
  /** The other side said that it could not do what it was asked. */
  | 'REFUSED'
  /** The other side did not answer in time. */
  | 'TIMEOUT'
  /** The connection ended, or could not be made. */
  | 'DISCONNECTED';

/** A vhost-user connection cannot go on, or cannot do what was asked. */
export class VhostUserError extends Error {
  override readonly name = 'VhostUserError';
  readonly code: VhostUserErrorCode;

  constructor(code: VhostUserErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
