import { Ext2Error } from '../errors.ts';

export const BLOCK_LENGTH = 512;

/** Which fields a header has beyond those of 1979. */
export type Dialect = 'v7' | 'ustar' | 'gnu';

/** A header block of POSIX ustar (IEEE 1003.1, pax, "ustar Interchange Format"), of GNU tar or of older ones. */
export interface Header {
  readonly dialect: Dialect;
  readonly path: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** One character. */
  readonly typeflag: string;
  readonly linkPath: Buffer;
  readonly devmajor: number;
  readonly devminor: number;
  /** The block itself. */
  readonly block: Buffer;
}

const CHECKSUM_OFFSET = 148;
const CHECKSUM_LENGTH = 8;

/** The header in a block; undefined when the block is zero, which ends an archive. */
export function decodeHeader(block: Buffer, position: number): Header | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const bad = (what: string) =>
    new Ext2Error('BAD_ARCHIVE', `There is no tar header at byte ${position} of the archive: ${what}.`);
  const number = (offset: number, length: number, name: string) => {
    const value = decodeNumber(block.subarray(offset, offset + length));
    if (value === undefined) throw bad(`its ${name} is no number`);
    return value;
  };
  const magic = block.toString('latin1', 257, 265);
  const dialect: Dialect = magic === 'ustar  \0' ? 'gnu' : magic.startsWith('ustar\0') ? 'ustar' : 'v7';
  if (!isChecksum(block, number(CHECKSUM_OFFSET, CHECKSUM_LENGTH, 'checksum'))) {
    throw bad('its checksum is wrong');
  }
  const name = text(block, 0, 100);
  const prefix = dialect === 'ustar' ? text(block, 345, 155) : Buffer.alloc(0);
  const size = number(124, 12, 'size');
  if (size < 0) throw bad('its size is negative');
  const hasDevice = dialect !== 'v7';
  return {
    dialect,
    path: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : Buffer.from(name),
    mode: number(100, 8, 'mode'),
    uid: number(108, 8, 'uid'),
    gid: number(116, 8, 'gid'),
    size,
    mtime: number(136, 12, 'mtime'),
    typeflag: String.fromCharCode(block[156] ?? 0),
    linkPath: Buffer.from(text(block, 157, 100)),
    devmajor: hasDevice ? number(329, 8, 'devmajor') : 0,
    devminor: hasDevice ? number(337, 8, 'devminor') : 0,
    block: Buffer.from(block),
  };
}

/** Up to the first NUL, if there is one. */
function text(block: Buffer, offset: number, length: number): Buffer {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/**
 * Octal digits between spaces and NULs, nothing at all for 0, or GNU's binary form: the first bit set, then a big-endian
 * two's complement. Undefined when it is none of these, or more than JavaScript counts exactly.
 */
export function decodeNumber(field: Buffer): number | undefined {
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    const isNegative = (first & 0x40) !== 0;
    let value = isNegative ? (first & 0x7f) - 0x80 : first & 0x3f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = field.toString('latin1').replace(/^[ \0]+|[ \0].*$/gs, '');
  if (!/^[0-7]*$/.test(digits)) return undefined;
  const value = digits === '' ? 0 : Number.parseInt(digits, 8);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The sum of the bytes, with spaces for the sum itself; some old programs took the bytes as signed. */
function isChecksum(block: Buffer, expected: number): boolean {
  let unsigned = CHECKSUM_LENGTH * 0x20;
  let signed = unsigned;
  for (const [at, byte] of block.entries()) {
    if (at >= CHECKSUM_OFFSET && at < CHECKSUM_OFFSET + CHECKSUM_LENGTH) continue;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  return expected === unsigned || expected === signed;
}
