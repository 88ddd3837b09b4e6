/** What is wrong, for code that reacts to it. */
export type JailErrorCode =
  /** A policy's text is not in the grammar, or names what does not exist. */
  | 'BAD_POLICY'
  /** This host does not let this user make the namespaces that a jail is made of. */
  | 'NO_NAMESPACES'
  /** A step of making the jail failed. */
  | 'SETUP_FAILED'
  /** The jailed program did not become what it should be. */
  | 'NOT_SEALED'
  /** No filters are known for this architecture. */
  | 'UNSUPPORTED_ARCHITECTURE';

/** A jail cannot be made as asked. */
export class JailError extends Error {
  override readonly name = 'JailError';
  readonly code: JailErrorCode;

  constructor(code: JailErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
