import { crc32c } from '@tsvmm/base';
import { crc32cOfLong } from '../checksum.ts';
import { Ext2Error } from '../errors.ts';
import { INODE_XATTR_OFFSET } from '../inode/inode.ts';
import { INODE_SIZE } from '../layout/geometry.ts';
import { aclForDisk } from './acl.ts';

// Documentation/filesystems/ext4, "Extended Attributes".

const MAGIC = 0xea02_0000;
const BLOCK_HEADER_LENGTH = 32;
const ENTRY_LENGTH = 16;
const END_LENGTH = 4;
const MAX_NAME = 255;
/** Bytes in the inode for entries and values, behind the magic. */
const INODE_ROOM = INODE_SIZE - INODE_XATTR_OFFSET - 4;

/** e_name_index: what a name starts with is a number on the disk. The whole names come first. */
const PREFIXES = [
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
  ['system.', 7],
] as const;
const ACL_INDEXES: ReadonlySet<number> = new Set([2, 3]);

/** An attribute as it is on the disk. */
interface Attribute {
  readonly index: number;
  readonly name: Buffer;
  readonly value: Uint8Array;
  readonly hash: number;
}

/** Where the attributes of an inode go. */
export interface PlacedAttributes {
  /** For the inode. */
  readonly inode?: Buffer;
  /** A block of their own, still without reference count and checksum. */
  readonly block?: Buffer;
}

/**
 * Lays out attributes: as many in the inode as fit, the others in a block.
 * @param path of the inode, for errors
 * @throws Ext2Error BAD_ATTRIBUTE, TOO_LARGE
 */
export function placeAttributes(
  xattrs: ReadonlyMap<string, Uint8Array>,
  blockSize: number,
  path: string,
): PlacedAttributes {
  const attributes = Array.from(xattrs, ([name, value]) => toAttribute(name, value, path));
  const inside: Attribute[] = [];
  const outside: Attribute[] = [];
  let room = INODE_ROOM - END_LENGTH;
  for (const attribute of attributes) {
    const length = lengthOf(attribute);
    if (length <= room) {
      inside.push(attribute);
      room -= length;
    } else outside.push(attribute);
  }
  const total = outside.reduce((sum, attribute) => sum + lengthOf(attribute), 0);
  if (total > blockSize - BLOCK_HEADER_LENGTH - END_LENGTH) {
    throw new Ext2Error(
      'TOO_LARGE',
      `its extended attributes take ${total} bytes; there is a block of ${blockSize} bytes for them.`,
      { path },
    );
  }
  return {
    ...(inside.length > 0 && { inode: encodeForInode(inside) }),
    ...(outside.length > 0 && { block: encodeBlock(outside, blockSize) }),
  };
}

/** Gives a block of attributes the number of inodes that share it, and its checksum. */
export function sealBlock(bytes: Buffer, block: number, references: number, seed: number | undefined): void {
  bytes.writeUInt32LE(references, 0x4);
  if (seed === undefined) return;
  bytes.writeUInt32LE(0, 0x10);
  bytes.writeUInt32LE(crc32c(crc32cOfLong(seed, block), bytes), 0x10);
}

function toAttribute(fullName: string, value: Uint8Array, path: string): Attribute {
  const refuse = (why: string) =>
    new Ext2Error('BAD_ATTRIBUTE', `the attribute ${JSON.stringify(fullName)} ${why}.`, { path });
  const [prefix, index] =
    PREFIXES.find(([text, number]) =>
      ACL_INDEXES.has(number) ? fullName === text : fullName.startsWith(text),
    ) ?? [];
  if (prefix === undefined || index === undefined) throw refuse('has a name that Linux does not know');
  const name = Buffer.from(fullName.slice(prefix.length));
  if (name.includes(0) || name.length > MAX_NAME || (name.length === 0 && !ACL_INDEXES.has(index))) {
    throw refuse('has a name that cannot be');
  }
  const onDisk = ACL_INDEXES.has(index) ? aclForDisk(value) : value;
  if (!onDisk) throw refuse('is no well-formed access list');
  return { index, name, value: onDisk, hash: hashOf(name, onDisk) };
}

const pad = (length: number) => (length + 3) & ~3;

function lengthOf({ name, value }: Attribute): number {
  return ENTRY_LENGTH + pad(name.length) + pad(value.length);
}

function rotate(hash: number, bits: number): number {
  return (hash << bits) ^ (hash >>> (32 - bits));
}

function hashOf(name: Uint8Array, value: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = rotate(hash, 5) ^ byte;
  for (let at = 0; at < value.length; at += 4) {
    const word =
      (value[at] ?? 0) |
      ((value[at + 1] ?? 0) << 8) |
      ((value[at + 2] ?? 0) << 16) |
      ((value[at + 3] ?? 0) << 24);
    hash = rotate(hash, 16) ^ word;
  }
  return hash >>> 0;
}

function encodeForInode(attributes: readonly Attribute[]): Buffer {
  const bytes = Buffer.alloc(4 + INODE_ROOM);
  bytes.writeUInt32LE(MAGIC, 0);
  // Offsets of values count from behind the magic.
  writeEntries(bytes.subarray(4), 0, attributes);
  return bytes;
}

function encodeBlock(attributes: readonly Attribute[], blockSize: number): Buffer {
  const sorted = attributes.toSorted(
    (a, b) => a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name),
  );
  const bytes = Buffer.alloc(blockSize);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(1, 0x8);
  const isHashed = sorted.every(({ hash }) => hash !== 0);
  const hash = isHashed ? sorted.reduce((sum, entry) => rotate(sum, 16) ^ entry.hash, 0) : 0;
  bytes.writeUInt32LE(hash >>> 0, 0xc);
  writeEntries(bytes, BLOCK_HEADER_LENGTH, sorted);
  return bytes;
}

/** Entries from `start` on, values from the end backwards. */
function writeEntries(bytes: Buffer, start: number, attributes: readonly Attribute[]): void {
  let at = start;
  let end = bytes.length;
  for (const { index, name, value, hash } of attributes) {
    end -= pad(value.length);
    bytes.writeUInt8(name.length, at);
    bytes.writeUInt8(index, at + 1);
    bytes.writeUInt16LE(value.length === 0 ? 0 : end, at + 2);
    bytes.writeUInt32LE(value.length, at + 8);
    bytes.writeUInt32LE(hash, at + 12);
    bytes.set(name, at + ENTRY_LENGTH);
    bytes.set(value, end);
    at += ENTRY_LENGTH + pad(name.length);
  }
}
