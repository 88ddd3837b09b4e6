import { crc32c } from '@tsvmm/base';
import { type Features, RoCompat } from './features.ts';
import { FIRST_INODE, type Geometry, INODE_SIZE } from './geometry.ts';

const LENGTH = 1024;
const MAGIC = 0xef53;
const STATE_CLEAN = 1;
const ERRORS_CONTINUE = 1;
const DYNAMIC_REVISION = 1;
const HASH_HALF_MD4 = 1;
/** s_flags: names are hashed as signed characters, as on most machines. */
const SIGNED_HASH = 1;
const MOUNT_XATTR_USER = 0x4;
const MOUNT_ACL = 0x8;
const CHECKSUM_CRC32C = 1;
const JOURNAL_BACKUP_BLOCKS = 1;
/** Bytes of an inode behind the 128 that every inode has, in use today. */
export const EXTRA_ISIZE = 32;

/** What a superblock says beyond the geometry. */
export interface SuperblockFields {
  readonly features: Features;
  readonly uuid: Uint8Array;
  readonly hashSeed: Uint8Array;
  readonly label: Uint8Array;
  /** Seconds since 1970. */
  readonly time: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** Bytes written while it was made. */
  readonly written: number;
  /** i_block and i_size of the journal's inode, to find the journal by when that inode is lost. */
  readonly journal?: { readonly map: Uint8Array; readonly size: number };
}

/** The superblock as the copy in `group` has it: 1024 bytes. */
export function encodeSuperblock(geometry: Geometry, fields: SuperblockFields, group: number): Buffer {
  const bytes = Buffer.alloc(LENGTH);
  const { features } = fields;
  const { blockSize, blockCount } = geometry;
  const logBlockSize = Math.log2(blockSize / 1024);
  bytes.writeUInt32LE(geometry.inodeCount, 0x0);
  bytes.writeUInt32LE(blockCount % 2 ** 32, 0x4);
  bytes.writeUInt32LE(fields.freeBlocks % 2 ** 32, 0xc);
  bytes.writeUInt32LE(fields.freeInodes, 0x10);
  bytes.writeUInt32LE(geometry.firstDataBlock, 0x14);
  bytes.writeUInt32LE(logBlockSize, 0x18);
  bytes.writeUInt32LE(logBlockSize, 0x1c);
  bytes.writeUInt32LE(geometry.blocksPerGroup, 0x20);
  bytes.writeUInt32LE(geometry.blocksPerGroup, 0x24);
  bytes.writeUInt32LE(geometry.inodesPerGroup, 0x28);
  const time = fields.time % 2 ** 32;
  const timeHigh = Math.floor(fields.time / 2 ** 32);
  bytes.writeUInt32LE(time, 0x30);
  bytes.writeInt16LE(-1, 0x36);
  bytes.writeUInt16LE(MAGIC, 0x38);
  bytes.writeUInt16LE(STATE_CLEAN, 0x3a);
  bytes.writeUInt16LE(ERRORS_CONTINUE, 0x3c);
  bytes.writeUInt32LE(time, 0x40);
  bytes.writeUInt32LE(DYNAMIC_REVISION, 0x4c);
  bytes.writeUInt32LE(FIRST_INODE, 0x54);
  bytes.writeUInt16LE(INODE_SIZE, 0x58);
  // Only 16 bits; who reads a copy knows where it is.
  bytes.writeUInt16LE(group & 0xffff, 0x5a);
  bytes.writeUInt32LE(features.compat, 0x5c);
  bytes.writeUInt32LE(features.incompat, 0x60);
  bytes.writeUInt32LE(features.roCompat, 0x64);
  bytes.set(fields.uuid, 0x68);
  bytes.set(fields.label, 0x78);
  bytes.writeUInt16LE(geometry.reservedDescriptorBlocks, 0xce);
  bytes.set(fields.hashSeed, 0xec);
  bytes.writeUInt8(HASH_HALF_MD4, 0xfc);
  bytes.writeUInt32LE(MOUNT_XATTR_USER | MOUNT_ACL, 0x100);
  bytes.writeUInt32LE(time, 0x108);
  if (fields.journal) {
    bytes.writeUInt32LE(8, 0xe0);
    bytes.writeUInt8(JOURNAL_BACKUP_BLOCKS, 0xfd);
    bytes.set(fields.journal.map, 0x10c);
    bytes.writeUInt32LE(Math.floor(fields.journal.size / 2 ** 32), 0x148);
    bytes.writeUInt32LE(fields.journal.size % 2 ** 32, 0x14c);
  }
  bytes.writeUInt16LE(EXTRA_ISIZE, 0x15c);
  bytes.writeUInt16LE(EXTRA_ISIZE, 0x15e);
  bytes.writeUInt32LE(SIGNED_HASH, 0x160);
  bytes.writeBigUInt64LE(BigInt(Math.ceil(fields.written / 1024)), 0x178);
  if (geometry.descriptorSize > 32) {
    bytes.writeUInt16LE(geometry.descriptorSize, 0xfe);
    bytes.writeUInt32LE(Math.floor(blockCount / 2 ** 32), 0x150);
    bytes.writeUInt32LE(Math.floor(fields.freeBlocks / 2 ** 32), 0x158);
    bytes.writeUInt8(Math.log2(geometry.flexSize), 0x174);
  }
  bytes.writeUInt8(timeHigh, 0x274);
  bytes.writeUInt8(timeHigh, 0x276);
  bytes.writeUInt8(timeHigh, 0x277);
  if ((features.roCompat & RoCompat.metadataCsum) !== 0) {
    bytes.writeUInt8(CHECKSUM_CRC32C, 0x175);
    bytes.writeUInt32LE(crc32c(0xffff_ffff, bytes, 0, LENGTH - 4), LENGTH - 4);
  }
  return bytes;
}
