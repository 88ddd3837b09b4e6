import { CpioError } from './errors.ts';
import {
  FIELDS,
  FILE_TYPES,
  type FileType,
  HEADER_SIZE,
  type Header,
  MAGIC_CRC,
  MAGIC_NEWC,
  padding,
  TRAILER,
} from './header.ts';

/** One name of the archive. */
export interface CpioEntry {
  /** Bytes from the start of the archive to the entry's header. */
  readonly offset: number;
  /** The name as UTF-8; ill-formed sequences are replaced. */
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly type: FileType;
  /** Permission bits, with set-uid, set-gid and sticky: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** With `ino` and `dev`, says which names are links to one file: those with equal numbers and `nlink` above 1. */
  readonly nlink: number;
  readonly ino: number;
  readonly dev: { readonly major: number; readonly minor: number };
  /** The device that a device node stands for. */
  readonly rdev: { readonly major: number; readonly minor: number };
  /** What a file contains, or where a symlink points: a view of the archive. Of linked names, one has the data. */
  readonly data: Uint8Array;
}

/** How compressed segments of an initramfs begin, so that the error can name what is there. */
const COMPRESSIONS: readonly [string, readonly number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lzop', [0x89, 0x4c, 0x5a, 0x4f]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
];

const TYPES = new Map(Object.entries(FILE_TYPES).map(([type, bits]) => [bits as number, type as FileType]));

/**
 * The entries of an uncompressed newc or crc archive, or of several one after the other with zeros between them, as
 * Linux accepts them for an initramfs. Trailers are not among the entries, and one at the end is not required.
 * @throws CpioError NOT_CPIO or COMPRESSED where an entry should start, TRUNCATED, BAD_HEADER, BAD_NAME,
 * BAD_CHECKSUM; the entries before it have been given out
 */
export function* readCpio(archive: Uint8Array): Generator<CpioEntry, void, undefined> {
  for (let offset = skipZeros(archive, 0); offset < archive.length; ) {
    const header = readHeader(archive, offset);
    const nameStart = offset + HEADER_SIZE;
    const nameEnd = nameStart + header.namesize;
    const dataStart = nameEnd + padding(nameEnd);
    const dataEnd = dataStart + header.filesize;
    if (nameEnd > archive.length || (header.filesize > 0 && dataEnd > archive.length)) {
      throw new CpioError(
        'TRUNCATED',
        `The entry at ${offset} goes on to ${dataEnd}, but the archive has ${archive.length} bytes: part of it is missing.`,
        offset,
      );
    }
    const entry = toEntry(archive, offset, header, archive.subarray(dataStart, dataEnd));
    if (entry.name !== TRAILER) yield entry;
    offset = skipZeros(archive, dataEnd);
  }
}

function skipZeros(archive: Uint8Array, from: number): number {
  let offset = from;
  while (archive[offset] === 0) offset++;
  return offset;
}

function readHeader(archive: Uint8Array, offset: number): Header {
  const magic = String.fromCharCode(...archive.subarray(offset, offset + 6));
  if ((magic !== MAGIC_NEWC && magic !== MAGIC_CRC) || offset % 4 !== 0)
    throw notAnEntry(archive, offset, magic);
  if (offset + HEADER_SIZE > archive.length) {
    throw new CpioError('TRUNCATED', `The archive ends inside the header at ${offset}.`, offset);
  }
  const header = Object.fromEntries(
    FIELDS.map((field, index) => [field, readField(archive, offset, index)]),
  ) as Header;
  if (header.namesize === 0) throw new CpioError('BAD_NAME', `The entry at ${offset} has no name.`, offset);
  return header;
}

function readField(archive: Uint8Array, offset: number, index: number): number {
  const start = offset + 6 + index * 8;
  let value = 0;
  for (let at = start; at < start + 8; at++) {
    const digit = Number.parseInt(String.fromCharCode(archive[at] ?? 0), 16);
    if (Number.isNaN(digit)) {
      const message = `The header at ${offset} has something other than hexadecimal digits in '${FIELDS[index]}'.`;
      throw new CpioError('BAD_HEADER', message, offset);
    }
    value = value * 16 + digit;
  }
  return value;
}

function notAnEntry(archive: Uint8Array, offset: number, magic: string): CpioError {
  const compression = COMPRESSIONS.find(([, bytes]) =>
    bytes.every((byte, i) => archive[offset + i] === byte),
  );
  if (compression) {
    const message = `The archive is compressed with ${compression[0]} from offset ${offset} on: decompress that part first.`;
    return new CpioError('COMPRESSED', message, offset);
  }
  const old = magic === '070707' || (archive[offset] === 0xc7 && archive[offset + 1] === 0x71);
  const message = old
    ? `The entry at ${offset} is in an old cpio format: make the archive with cpio -H newc.`
    : `There is no newc header at ${offset}, where an entry should start at a multiple of four.`;
  return new CpioError('NOT_CPIO', message, offset);
}

function toEntry(archive: Uint8Array, offset: number, header: Header, data: Uint8Array): CpioEntry {
  const nameEnd = offset + HEADER_SIZE + header.namesize - 1;
  const nameBytes = archive.subarray(offset + HEADER_SIZE, nameEnd);
  if (archive[nameEnd] !== 0 || nameBytes.includes(0)) {
    throw new CpioError(
      'BAD_NAME',
      `The name of the entry at ${offset} does not end where it should.`,
      offset,
    );
  }
  // A copy: TextDecoder does not take bytes of a SharedArrayBuffer.
  const name = new TextDecoder().decode(new Uint8Array(nameBytes));
  const type = TYPES.get(header.mode & 0o170000);
  // Trailers have a mode of zero.
  if (type === undefined && name !== TRAILER) {
    const message = `The entry at ${offset} has mode 0${header.mode.toString(8)}, which is no type of file.`;
    throw new CpioError('BAD_HEADER', message, offset);
  }
  // cpio leaves the checksum of a symlink's target zero.
  const hasChecksum = archive[offset + 5] === MAGIC_CRC.charCodeAt(5) && type === 'file';
  if (hasChecksum && header.check !== sum(data)) {
    throw new CpioError(
      'BAD_CHECKSUM',
      `The data of ${JSON.stringify(name)} is not what was archived.`,
      offset,
    );
  }
  return {
    offset,
    name,
    nameBytes,
    type: type ?? 'file',
    mode: header.mode & 0o7777,
    uid: header.uid,
    gid: header.gid,
    mtime: header.mtime,
    nlink: header.nlink,
    ino: header.ino,
    dev: { major: header.devmajor, minor: header.devminor },
    rdev: { major: header.rdevmajor, minor: header.rdevminor },
    data,
  };
}

/** The checksum of the crc format: the sum of the bytes, 32 bits. */
function sum(data: Uint8Array): number {
  let total = 0;
  for (const byte of data) total = (total + byte) >>> 0;
  return total;
}
