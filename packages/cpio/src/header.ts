// The "new portable" format: a magic number and thirteen fields, in ASCII; the fields are eight hexadecimal digits.

export const HEADER_SIZE = 110;
export const MAGIC_NEWC = '070701';
/** The same with a sum of the data's bytes in `check`. */
export const MAGIC_CRC = '070702';
export const TRAILER = 'TRAILER!!!';
/** Linux's PATH_MAX: it ignores entries whose name, or link target, with its NUL, is longer. */
export const PATH_MAX = 4096;
export const MAX_FIELD = 0xffff_ffff;

/** The fields of a header, in their order. */
export const FIELDS = [
  'ino',
  'mode',
  'uid',
  'gid',
  'nlink',
  'mtime',
  'filesize',
  'devmajor',
  'devminor',
  'rdevmajor',
  'rdevminor',
  'namesize',
  'check',
] as const;

/** The fields by name, each of 32 bits. */
export type Header = Record<(typeof FIELDS)[number], number>;

/** The file type bits of `mode` (S_IFMT) and what they mean. */
export const FILE_TYPES = {
  fifo: 0o010000,
  'character-device': 0o020000,
  directory: 0o040000,
  'block-device': 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

export type FileType = keyof typeof FILE_TYPES;

/** Bytes of zeros from `offset` to the next multiple of four. */
export const padding = (offset: number) => -offset & 3;
