import { Ext2Error } from '../errors.ts';
import type { FilesystemType } from './features.ts';

export const INODE_SIZE = 256;
/** s_first_ino: the inodes below it are the file system's own. */
export const FIRST_INODE = 11;
export const SUPERBLOCK_OFFSET = 1024;
const MAX_32_BIT = 2 ** 32 - 1;
/** mke2fs's: a last group with less room than this besides its metadata is left away. */
const MIN_LAST_GROUP_DATA = 50;
/** How many times its size a file system can be made to grow to, as mke2fs has it. */
const RESIZE_FACTOR = 1024;
const MAX_FLEX_SIZE = 16;

/** What determines where everything is. */
export interface GeometryOptions {
  readonly type: FilesystemType;
  /** Bytes: 1024, 2048 or 4096. */
  readonly blockSize: number;
  /** Bytes; what does not fill a block is not used. */
  readonly size: number;
  /** At least so many. */
  readonly inodes: number;
  /** Bytes that it can be made to grow to while it is mounted; 1024 times its size unless given. */
  readonly resizeLimit?: number;
}

/**
 * Where the superblocks, group descriptors, bitmaps and inode tables are: a function of the options alone, so that data
 * can be written where it stays before it is known how much there is. All numbers are blocks unless they say otherwise.
 *
 * Group n begins with a superblock, the descriptors of all groups and room for more of them, if n is 0, 1 or a power of
 * 3, 5 or 7 (sparse_super). With flex_bg, the bitmaps and inode tables of `flexSize` groups follow in the first of
 * these; in ext2, each group has its own. The rest of a group is for data.
 */
export class Geometry {
  readonly blockSize: number;
  readonly blockCount: number;
  /** The block that has the superblock: 1 when blocks are 1 KiB long, else 0. Groups are counted from it. */
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groupCount: number;
  readonly inodesPerGroup: number;
  readonly inodeTableBlocks: number;
  /** Bytes of a group descriptor. */
  readonly descriptorSize: number;
  readonly descriptorBlocks: number;
  readonly reservedDescriptorBlocks: number;
  /** Groups whose metadata is kept together; a power of two, 1 without flex_bg. */
  readonly flexSize: number;

  /** @throws Ext2Error BAD_OPTION, TOO_LARGE, NO_SPACE */
  constructor(options: GeometryOptions) {
    const { type, blockSize, size, inodes } = options;
    const is64Bit = type === 'ext4';
    this.blockSize = blockSize;
    this.firstDataBlock = blockSize === 1024 ? 1 : 0;
    this.blocksPerGroup = blockSize * 8;
    this.descriptorSize = is64Bit ? 64 : 32;
    let blockCount = Math.floor(size / blockSize);
    // Each pass leaves a last group away that is too small, of which there is at most one.
    for (;;) {
      const dataBlocks = blockCount - this.firstDataBlock;
      if (dataBlocks < 8) throw new Ext2Error('NO_SPACE', `${size} bytes are too few for any file system.`);
      this.blockCount = blockCount;
      this.groupCount = Math.ceil(dataBlocks / this.blocksPerGroup);
      this.inodesPerGroup = this.#inodesPerGroup(inodes);
      this.inodeTableBlocks = (this.inodesPerGroup * INODE_SIZE) / blockSize;
      this.descriptorBlocks = Math.ceil((this.groupCount * this.descriptorSize) / blockSize);
      this.reservedDescriptorBlocks = this.#reservedDescriptorBlocks(options.resizeLimit);
      this.flexSize = is64Bit ? this.#flexSize() : 1;
      const last = this.groupCount - 1;
      const room = this.groupLength(last) - this.overhead(last);
      if (room >= (last === 0 ? 1 : MIN_LAST_GROUP_DATA)) break;
      if (last === 0) {
        throw new Ext2Error('NO_SPACE', `${size} bytes are too few for the metadata of a file system.`);
      }
      blockCount = this.groupStart(last);
    }
    if (!is64Bit && this.blockCount > MAX_32_BIT) {
      throw new Ext2Error('TOO_LARGE', `ext2 ends at ${MAX_32_BIT} blocks: use larger ones, or ext4.`);
    }
    if (this.inodeCount > MAX_32_BIT) {
      throw new Ext2Error(
        'TOO_LARGE',
        `${this.inodeCount} inodes are more than 32 bits count: choose a larger inode ratio.`,
      );
    }
    if (this.#superLength() + 2 + this.inodeTableBlocks >= this.blocksPerGroup) {
      throw new Ext2Error(
        'TOO_LARGE',
        `The descriptors of ${this.groupCount} groups do not fit into a group of ${blockSize}-byte blocks: use larger blocks.`,
      );
    }
  }

  get inodeCount(): number {
    return this.inodesPerGroup * this.groupCount;
  }

  /** The first block of a group. */
  groupStart(group: number): number {
    return this.firstDataBlock + group * this.blocksPerGroup;
  }

  /** Blocks of a group: all but the last are full. */
  groupLength(group: number): number {
    return Math.min(this.blocksPerGroup, this.blockCount - this.groupStart(group));
  }

  hasSuperblock(group: number): boolean {
    return group <= 1 || isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7);
  }

  blockBitmap(group: number): number {
    return this.#metadataStart(group) + (group % this.flexSize);
  }

  inodeBitmap(group: number): number {
    return this.#metadataStart(group) + this.#flexLength(group) + (group % this.flexSize);
  }

  inodeTable(group: number): number {
    return (
      this.#metadataStart(group) +
      2 * this.#flexLength(group) +
      (group % this.flexSize) * this.inodeTableBlocks
    );
  }

  /** Byte position of an inode. */
  inodePosition(inode: number): number {
    const group = Math.floor((inode - 1) / this.inodesPerGroup);
    const index = (inode - 1) % this.inodesPerGroup;
    return this.inodeTable(group) * this.blockSize + index * INODE_SIZE;
  }

  /** Blocks at the start of a group that are not for data. */
  overhead(group: number): number {
    const superLength = this.hasSuperblock(group) ? this.#superLength() : 0;
    return superLength + this.metadataLength(group);
  }

  /** Bitmaps and inode tables, one after the other, that lie in a group: its own or those of its flex group. */
  metadataLength(group: number): number {
    return group % this.flexSize === 0 ? this.#flexLength(group) * (2 + this.inodeTableBlocks) : 0;
  }

  /** Where the bitmaps and inode tables of a group's flex group start. */
  #metadataStart(group: number): number {
    const first = group - (group % this.flexSize);
    return this.groupStart(first) + (this.hasSuperblock(first) ? this.#superLength() : 0);
  }

  /** How many groups the flex group of a group has. */
  #flexLength(group: number): number {
    return Math.min(this.flexSize, this.groupCount - (group - (group % this.flexSize)));
  }

  #superLength(): number {
    return 1 + this.descriptorBlocks + this.reservedDescriptorBlocks;
  }

  /** The inodes that are wanted, spread over the groups; inode tables have no half-used blocks. */
  #inodesPerGroup(inodes: number): number {
    const perBlock = this.blockSize / INODE_SIZE;
    const unit = Math.max(perBlock, 8);
    const wanted = Math.max(inodes, FIRST_INODE + 1);
    const perGroup = Math.ceil(wanted / this.groupCount / unit) * unit;
    if (perGroup > this.blocksPerGroup) {
      throw new Ext2Error(
        'BAD_OPTION',
        `${inodes} inodes are more than one for each block: make the file system larger.`,
      );
    }
    return perGroup;
  }

  /** Room for the descriptors of groups to come. The resize inode can hold 32-bit block numbers of one pointer block. */
  #reservedDescriptorBlocks(limit: number | undefined): number {
    if (this.blockCount > MAX_32_BIT) return 0;
    const blocks = limit === undefined ? this.blockCount * RESIZE_FACTOR : Math.floor(limit / this.blockSize);
    const maxBlocks = Math.min(blocks, MAX_32_BIT);
    const maxGroups = Math.ceil((maxBlocks - this.firstDataBlock) / this.blocksPerGroup);
    const needed = Math.ceil((maxGroups * this.descriptorSize) / this.blockSize) - this.descriptorBlocks;
    return Math.max(0, Math.min(needed, this.blockSize / 4));
  }

  /** As many groups, up to 16, as have their metadata fit into half of the first. */
  #flexSize(): number {
    let flexSize = MAX_FLEX_SIZE;
    const fits = () => flexSize * (2 + this.inodeTableBlocks) <= this.blocksPerGroup / 2;
    while (flexSize > 1 && !fits()) flexSize /= 2;
    return flexSize;
  }
}

function isPowerOf(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}
