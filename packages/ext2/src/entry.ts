/** A moment: what ext4 keeps ends in 2446, and begins in 1901; other times are brought to the nearest of these. */
export interface Timestamp {
  /** Since 1970; may be negative. */
  readonly seconds: number;
  /** 0 to 999999999. */
  readonly nanoseconds: number;
}

/** A name: text stands for its UTF-8 bytes. Linux's names are bytes, which need not be UTF-8. */
export type Name = string | Uint8Array;

/** What every name but a hard link has. */
export interface Attributes {
  /** Relative to the root: `'usr/bin/env'`; the root itself is `''` or `'.'`. */
  readonly path: Name;
  /** Permission bits with set-uid, set-gid and sticky: 12 bits. */
  readonly mode: number;
  /** 32 bits. */
  readonly uid: number;
  /** 32 bits. */
  readonly gid: number;
  readonly mtime: Timestamp;
  /** `mtime` unless given. */
  readonly atime?: Timestamp;
  /** `mtime` unless given. */
  readonly ctime?: Timestamp;
  /**
   * By their full names, such as `user.comment` or `security.capability`; values as getxattr(2) gives them, access lists
   * (`system.posix_acl_access`, `system.posix_acl_default`) too.
   */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

/** Bytes of a file at their place. */
export interface Chunk {
  /** Bytes from the start of the file. */
  readonly position: number;
  /** May be used again by the source when the next chunk is asked for. */
  readonly bytes: Uint8Array;
}

/** A range of a file, in bytes. */
export interface Range {
  readonly position: number;
  readonly length: number;
}

export interface DirectoryEntry extends Attributes {
  readonly type: 'directory';
}

export interface FileEntry extends Attributes {
  readonly type: 'file';
  /** Bytes. */
  readonly size: number;
  /** Ascending: where there may be something else than a hole; everywhere unless given. */
  readonly dataRanges?: readonly Range[];
  /** The contents in ascending order; what lies between chunks is zero. Asked for once, or never. */
  content(): AsyncIterable<Chunk> | Iterable<Chunk>;
}

export interface SymlinkEntry extends Attributes {
  readonly type: 'symlink';
  readonly target: Name;
}

export interface DeviceEntry extends Attributes {
  readonly type: 'character-device' | 'block-device';
  /** 12 and 20 bits. */
  readonly device: { readonly major: number; readonly minor: number };
}

export interface SpecialEntry extends Attributes {
  readonly type: 'fifo' | 'socket';
}

/** Another name for what an entry before it is, directories excepted. */
export interface HardLinkEntry {
  readonly type: 'hard-link';
  readonly path: Name;
  /** Relative to the root, like `path`. */
  readonly target: Name;
}

/** What has an inode of its own. */
export type InodeEntry = DirectoryEntry | FileEntry | SymlinkEntry | DeviceEntry | SpecialEntry;

/**
 * One name of the tree that a file system is made of. Directories that are missing above a name are added, mode 0755
 * and owned by root; a directory that comes again has the attributes that come last.
 */
export type Entry = InodeEntry | HardLinkEntry;
