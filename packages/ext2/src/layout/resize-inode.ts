import type { Geometry } from './geometry.ts';

/** i_block's entry for blocks of blocks of pointers. */
export const DOUBLE_INDIRECT = 13;
const DIRECT_BLOCKS = 12;

/** A block to be written. */
export interface PlacedBlock {
  readonly block: number;
  readonly bytes: Buffer;
}

/** The inode that owns the room for group descriptors to come, in the first group and its copies. */
export interface ResizeInode {
  /** Bytes: the largest that double indirection reaches. */
  readonly size: number;
  /** Blocks it owns, its own block of pointers included. */
  readonly blockCount: number;
}

export function resizeInode(geometry: Geometry): ResizeInode {
  const perBlock = geometry.blockSize / 4;
  const copies = backupGroups(geometry).length;
  return {
    size: (perBlock * perBlock + perBlock + DIRECT_BLOCKS) * geometry.blockSize,
    blockCount: 1 + geometry.reservedDescriptorBlocks * (1 + copies),
  };
}

/**
 * The blocks of pointers of the resize inode: the reserved blocks of the first group each hold where their copies are,
 * and `doubleIndirect` where they are themselves.
 */
export function* resizeInodeBlocks(geometry: Geometry, doubleIndirect: number): Generator<PlacedBlock> {
  const { blockSize, descriptorBlocks, reservedDescriptorBlocks } = geometry;
  const perBlock = blockSize / 4;
  const backups = backupGroups(geometry);
  const pointers = Buffer.alloc(blockSize);
  for (let i = 0; i < reservedDescriptorBlocks; i++) {
    const offset = 1 + descriptorBlocks + i;
    const block = geometry.groupStart(0) + offset;
    pointers.writeUInt32LE(block, ((descriptorBlocks + i) % perBlock) * 4);
    const bytes = Buffer.alloc(blockSize);
    backups.forEach((group, index) => {
      bytes.writeUInt32LE(geometry.groupStart(group) + offset, index * 4);
    });
    yield { block, bytes };
  }
  yield { block: doubleIndirect, bytes: pointers };
}

/** The groups but the first that have a copy of the superblock. */
export function backupGroups(geometry: Geometry): readonly number[] {
  const groups: number[] = [];
  for (let group = 1; group < geometry.groupCount; group++) {
    if (geometry.hasSuperblock(group)) groups.push(group);
  }
  return groups;
}
