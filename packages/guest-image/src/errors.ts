/** What went wrong while a guest was made; see the code's line. */
export type GuestImageErrorCode =
  /** No Debian release has a kernel of this architecture, or tsvmm does not know it. */
  | 'UNSUPPORTED_ARCHITECTURE'
  /** A suite or directory name that cannot be handed to apt. */
  | 'INVALID_ARGUMENT'
  /** The host has no apt-get, apt-cache, dpkg-deb or flock: it is not a Debian system. */
  | 'NO_APT'
  /** The host's apt knows no Debian archive. */
  | 'NO_DEBIAN_MIRROR'
  /** apt could not fetch; the message has apt's own words. */
  | 'FETCH_FAILED'
  /** A package was fetched but does not contain what a guest needs, or dpkg-deb could not unpack it. */
  | 'BAD_PACKAGE'
  /** A kernel module is damaged or not there. */
  | 'BAD_MODULE'
  /** The file system that holds the cache is full. */
  | 'NO_SPACE';

/** An error of this package. `message` says what to do about it. */
export class GuestImageError extends Error {
  override readonly name = 'GuestImageError';
  readonly code: GuestImageErrorCode;

  constructor(code: GuestImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
