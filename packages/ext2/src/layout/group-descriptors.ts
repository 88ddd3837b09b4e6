import { crc32c } from '@tsvmm/base';
import { crc32cOfWord } from '../checksum.ts';
import type { Geometry } from './geometry.ts';

/** bg_flags: the inode table and bitmap are not initialised. */
export const INODE_UNINIT = 0x1;
/** bg_flags: the block bitmap is not initialised. */
export const BLOCK_UNINIT = 0x2;
/** bg_flags: the inode table is zeroed where it is not used. */
export const INODE_ZEROED = 0x4;

/** What a group descriptor says beyond where things are. */
export interface GroupState {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly directories: number;
  /** Inodes at the end of the group's table that were never used. */
  readonly unusedInodes: number;
  /** bg_flags; 0 without metadata_csum. */
  readonly flags: number;
  /** CRC-32C of the bitmaps, 0 without metadata_csum or where they are not initialised. */
  readonly blockBitmapSum: number;
  readonly inodeBitmapSum: number;
}

const CHECKSUM_OFFSET = 0x1e;

/**
 * Writes a descriptor into the table of them.
 * @param seed what metadata checksums start with; undefined without metadata_csum
 */
export function encodeGroupDescriptor(
  table: Buffer,
  geometry: Geometry,
  group: number,
  state: GroupState,
  seed: number | undefined,
): void {
  const bytes = table.subarray(group * geometry.descriptorSize, (group + 1) * geometry.descriptorSize);
  const is64Bit = geometry.descriptorSize > 32;
  const number = (value: number, low: number, high: number) => {
    bytes.writeUInt32LE(value % 2 ** 32, low);
    if (is64Bit) bytes.writeUInt32LE(Math.floor(value / 2 ** 32), high);
  };
  const half = (value: number, low: number, high: number) => {
    bytes.writeUInt16LE(value & 0xffff, low);
    if (is64Bit) bytes.writeUInt16LE(value >>> 16, high);
  };
  number(geometry.blockBitmap(group), 0x0, 0x20);
  number(geometry.inodeBitmap(group), 0x4, 0x24);
  number(geometry.inodeTable(group), 0x8, 0x28);
  half(state.freeBlocks, 0xc, 0x2c);
  half(state.freeInodes, 0xe, 0x2e);
  half(state.directories, 0x10, 0x30);
  bytes.writeUInt16LE(state.flags, 0x12);
  half(state.blockBitmapSum, 0x18, 0x38);
  half(state.inodeBitmapSum, 0x1a, 0x3a);
  half(state.unusedInodes, 0x1c, 0x32);
  if (seed === undefined) return;
  bytes.writeUInt16LE(crc32c(crc32cOfWord(seed, group), bytes) & 0xffff, CHECKSUM_OFFSET);
}
