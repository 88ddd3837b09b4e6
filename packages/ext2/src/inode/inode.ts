import { crc32c } from '@tsvmm/base';
import { crc32cOfWord } from '../checksum.ts';
import type { Timestamp } from '../entry.ts';
import { EXTRA_ISIZE } from '../layout/superblock.ts';

/** i_mode's file types. */
export const FileMode = {
  fifo: 0x1000,
  'character-device': 0x2000,
  directory: 0x4000,
  'block-device': 0x6000,
  file: 0x8000,
  symlink: 0xa000,
  socket: 0xc000,
} as const;

/** i_flags. */
export const InodeFlag = { index: 0x1000, extents: 0x80000 } as const;

/** Bytes of i_block: what maps blocks, or a short symlink, or a device number. */
export const MAP_LENGTH = 60;
/** Where attributes that lie in the inode start: behind the fields. */
export const INODE_XATTR_OFFSET = 128 + EXTRA_ISIZE;

/** An inode's contents. */
export interface Inode {
  /** A type of {@link FileMode} and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly atime: Timestamp;
  readonly ctime: Timestamp;
  /** Seconds since 1970. */
  readonly crtime: number;
  readonly links: number;
  /** Bytes. */
  readonly size: number;
  /** Bytes that its blocks take on the disk, those that map blocks and hold attributes included. */
  readonly allocatedBytes: number;
  readonly flags: number;
  /** i_block: up to 60 bytes. */
  readonly map: Uint8Array;
  /** Block with attributes, 0 for none. */
  readonly xattrBlock: number;
  /** Attributes in the inode, from {@link INODE_XATTR_OFFSET} on. */
  readonly xattrs?: Uint8Array;
}

const CHECKSUM_LOW = 0x7c;
const CHECKSUM_HIGH = 0x82;
const LINKS = 0x1a;
const MIN_SECONDS = -(2 ** 31);
const MAX_SECONDS = 2 ** 34 - 2 ** 31 - 1;

/**
 * @param bytes for the inode: there are so many that each would not get a buffer of its own
 * @param seed what metadata checksums start with; undefined without metadata_csum
 */
export function encodeInode(bytes: Buffer, number: number, inode: Inode, seed: number | undefined): void {
  bytes.fill(0);
  bytes.writeUInt16LE(inode.mode, 0x0);
  bytes.writeUInt16LE(inode.uid & 0xffff, 0x2);
  bytes.writeUInt32LE(inode.size % 2 ** 32, 0x4);
  writeTime(bytes, inode.atime, 0x8, 0x8c);
  writeTime(bytes, inode.ctime, 0xc, 0x84);
  writeTime(bytes, inode.mtime, 0x10, 0x88);
  writeTime(bytes, { seconds: inode.crtime, nanoseconds: 0 }, 0x90, 0x94);
  bytes.writeUInt16LE(inode.gid & 0xffff, 0x18);
  bytes.writeUInt16LE(inode.links, LINKS);
  const sectors = inode.allocatedBytes / 512;
  bytes.writeUInt32LE(sectors % 2 ** 32, 0x1c);
  bytes.writeUInt32LE(inode.flags, 0x20);
  bytes.set(inode.map, 0x28);
  bytes.writeUInt32LE(inode.xattrBlock % 2 ** 32, 0x68);
  bytes.writeUInt32LE(Math.floor(inode.size / 2 ** 32), 0x6c);
  bytes.writeUInt16LE(Math.floor(sectors / 2 ** 32), 0x74);
  bytes.writeUInt16LE(Math.floor(inode.xattrBlock / 2 ** 32), 0x76);
  bytes.writeUInt16LE(inode.uid >>> 16, 0x78);
  bytes.writeUInt16LE(inode.gid >>> 16, 0x7a);
  bytes.writeUInt16LE(EXTRA_ISIZE, 0x80);
  if (inode.xattrs) bytes.set(inode.xattrs, INODE_XATTR_OFFSET);
  if (seed !== undefined) seal(number, bytes, seed);
}

/** Gives an encoded inode another number of links. */
export function setLinks(number: number, bytes: Buffer, links: number, seed: number | undefined): void {
  bytes.writeUInt16LE(links, LINKS);
  if (seed === undefined) return;
  bytes.writeUInt16LE(0, CHECKSUM_LOW);
  bytes.writeUInt16LE(0, CHECKSUM_HIGH);
  seal(number, bytes, seed);
}

/** What checksums of an inode's blocks start with. i_generation, which takes part in it, is zero. */
export function inodeSeed(number: number, seed: number): number {
  return crc32cOfWord(crc32cOfWord(seed, number), 0);
}

function seal(number: number, bytes: Buffer, seed: number): void {
  const sum = crc32c(inodeSeed(number, seed), bytes);
  bytes.writeUInt16LE(sum & 0xffff, CHECKSUM_LOW);
  bytes.writeUInt16LE(sum >>> 16, CHECKSUM_HIGH);
}

/** 32 bits of seconds; behind them, two more ("epochs" of 136 years) and nanoseconds. */
function writeTime(bytes: Buffer, { seconds, nanoseconds }: Timestamp, low: number, extra: number): void {
  const inside = Math.min(Math.max(seconds, MIN_SECONDS), MAX_SECONDS);
  const epoch = Math.floor((inside + 2 ** 31) / 2 ** 32);
  bytes.writeInt32LE(inside | 0, low);
  bytes.writeUInt32LE(nanoseconds * 4 + epoch, extra);
}

/** i_block of a device: the old form of 8 and 8 bits where it is enough, else the new one. */
export function encodeDevice(major: number, minor: number): Buffer {
  const bytes = Buffer.alloc(8);
  if (major < 256 && minor < 256) bytes.writeUInt32LE((major << 8) | minor, 0);
  else bytes.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, 4);
  return bytes;
}
