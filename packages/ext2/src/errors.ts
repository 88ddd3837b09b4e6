/** What is wrong, for code that reacts to it. */
export type Ext2ErrorCode =
  /** An option cannot be right, alone or together with another. */
  | 'BAD_OPTION'
  /** The contents do not fit: make the file system larger. */
  | 'NO_SPACE'
  /** There are more files than inodes: give more inodes. */
  | 'NO_INODES'
  /** A name that cannot be in a file system, or that points out of it: absolute, with `..`, with NUL, too long. */
  | 'BAD_PATH'
  /** The same name twice, and not both times a directory. */
  | 'DUPLICATE'
  /** Something lies below a name that is no directory. */
  | 'NOT_A_DIRECTORY'
  /** A hard link to a name that was not there before it, or to a directory. */
  | 'BAD_LINK'
  /** More than the format has room for: of a file, a directory, an attribute or a number. */
  | 'TOO_LARGE'
  /** An extended attribute or access list that is not well formed, or unknown to the format. */
  | 'BAD_ATTRIBUTE'
  /** A file gave other bytes than it had announced. */
  | 'BAD_CONTENT'
  /** The bytes are no well-formed tar archive. */
  | 'BAD_ARCHIVE'
  /** The archive ends in the middle. */
  | 'TRUNCATED'
  /** A kind of archive or entry that is not implemented; the message names it. */
  | 'UNSUPPORTED'
  /** A source file cannot be read; `cause` has the system's error. */
  | 'UNREADABLE';

export interface Ext2ErrorOptions extends ErrorOptions {
  /** The entry that the error is about. */
  readonly path?: string;
}

/** A file system that cannot be made. Errors of the target stay what they are. */
export class Ext2Error extends Error {
  override readonly name = 'Ext2Error';
  readonly code: Ext2ErrorCode;
  /** The entry that the error is about, as UTF-8 with ill-formed sequences replaced; undefined when it is about none. */
  readonly path: string | undefined;

  constructor(code: Ext2ErrorCode, message: string, { path, ...options }: Ext2ErrorOptions = {}) {
    super(path === undefined ? message : `${JSON.stringify(path)}: ${message}`, options);
    this.code = code;
    this.path = path;
  }
}
