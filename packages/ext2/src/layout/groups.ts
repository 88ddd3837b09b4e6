import { crc32c } from '@tsvmm/base';
import type { CoalescingWriter } from '../target.ts';
import type { BlockAllocator } from './allocator.ts';
import type { Geometry } from './geometry.ts';
import { BLOCK_UNINIT, encodeGroupDescriptor, INODE_UNINIT, INODE_ZEROED } from './group-descriptors.ts';

/** What is in use when everything is written. */
export interface Usage {
  readonly allocator: BlockAllocator;
  /** Inodes 1 to this one are in use. */
  readonly lastInode: number;
  /** How many directories have their inodes in each group. */
  readonly directories: ReadonlyMap<number, number>;
}

/** The table of group descriptors, and what is free in all of the file system. */
export interface GroupTable {
  readonly descriptors: Buffer;
  readonly freeBlocks: number;
  readonly freeInodes: number;
}

/**
 * Writes the bitmaps of all groups and makes their descriptors. With metadata_csum, bitmaps that say nothing but what
 * follows from the geometry are left out (uninit_bg), so that a large and empty file system is a few blocks.
 */
export async function writeGroups(
  writer: CoalescingWriter,
  geometry: Geometry,
  usage: Usage,
  seed: number | undefined,
): Promise<GroupTable> {
  const { blockSize, groupCount, inodesPerGroup } = geometry;
  const descriptors = Buffer.alloc(geometry.descriptorBlocks * blockSize);
  const bitmap = Buffer.alloc(blockSize);
  let totalFreeBlocks = 0;
  let totalFreeInodes = 0;
  for (let group = 0; group < groupCount; group++) {
    const usedBlocks = usage.allocator.usedIn(group);
    const freeBlocks = geometry.groupLength(group) - usedBlocks;
    const usedInodes = Math.max(0, Math.min(inodesPerGroup, usage.lastInode - group * inodesPerGroup));
    const freeInodes = inodesPerGroup - usedInodes;
    totalFreeBlocks += freeBlocks;
    totalFreeInodes += freeInodes;
    let flags = 0;
    if (seed !== undefined) {
      flags = INODE_ZEROED | (usedInodes === 0 ? INODE_UNINIT : 0);
      // Who takes a bitmap for granted knows of a group's own metadata only, and that full groups are full.
      const isPlain = !usage.allocator.hasDataIn(group) && geometry.metadataLength(group) === 0;
      if (isPlain && group !== groupCount - 1) flags |= BLOCK_UNINIT;
    }
    let blockBitmapSum = 0;
    if ((flags & BLOCK_UNINIT) === 0) {
      fillBitmap(bitmap, usedBlocks, geometry.groupLength(group));
      if (seed !== undefined) blockBitmapSum = crc32c(seed, bitmap, 0, geometry.blocksPerGroup / 8);
      await writer.write(geometry.blockBitmap(group) * blockSize, bitmap);
    }
    let inodeBitmapSum = 0;
    if ((flags & INODE_UNINIT) === 0) {
      fillBitmap(bitmap, usedInodes, inodesPerGroup);
      if (seed !== undefined) inodeBitmapSum = crc32c(seed, bitmap, 0, inodesPerGroup / 8);
      await writer.write(geometry.inodeBitmap(group) * blockSize, bitmap);
    }
    const state = {
      freeBlocks,
      freeInodes,
      directories: usage.directories.get(group) ?? 0,
      unusedInodes: seed === undefined ? 0 : freeInodes,
      flags,
      blockBitmapSum,
      inodeBitmapSum,
    };
    encodeGroupDescriptor(descriptors, geometry, group, state, seed);
  }
  return { descriptors, freeBlocks: totalFreeBlocks, freeInodes: totalFreeInodes };
}

/** Sets the first `used` bits, and those that stand for nothing because there are only `length`. */
function fillBitmap(bitmap: Buffer, used: number, length: number): void {
  bitmap.fill(0);
  bitmap.fill(0xff, 0, used >> 3);
  if ((used & 7) !== 0) bitmap[used >> 3] = (1 << (used & 7)) - 1;
  if (length === bitmap.length * 8) return;
  const first = length >> 3;
  bitmap[first] = (bitmap[first] ?? 0) | (0xff << (length & 7));
  bitmap.fill(0xff, first + 1);
}
