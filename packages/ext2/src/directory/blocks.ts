import { Ext2Error } from '../errors.ts';
import type { NameHasher } from './hash.ts';
import { htreeBlocks, indexLength } from './htree.ts';
import { type Directory, direntsOf, pathOf } from './namespace.ts';
import { type Dirent, DirentType, direntBlock, direntCapacity, direntLength, MAX_NAME } from './records.ts';

/** Where what is found without a name goes: e2fsck wants it there and with room. */
export const LOST_AND_FOUND = 'lost+found';
const LOST_AND_FOUND_BYTES = 16_384;

/** What a directory consists of. */
export interface DirectoryBlocks {
  readonly blocks: readonly Buffer[];
  /** The first block is the root of a hash tree. */
  readonly isIndexed: boolean;
}

/**
 * The blocks of a directory: with an index if there is more than one.
 * @param sum what checksums of its blocks start with; undefined without
 * @throws Ext2Error TOO_LARGE
 */
export function directoryBlocks(
  directory: Directory,
  hasher: NameHasher,
  blockSize: number,
  sum: number | undefined,
): DirectoryBlocks {
  const parent = (directory.parent ?? directory).inode;
  const dots: readonly Dirent[] = [
    { name: Buffer.from('.'), inode: directory.inode, type: DirentType.directory },
    { name: Buffer.from('..'), inode: parent, type: DirentType.directory },
  ];
  const entries = direntsOf(directory);
  if (entries.length * direntLength(1) <= blockSize) {
    const all = [...dots, ...entries];
    const { bytes, next } = direntBlock(all, 0, blockSize, sum);
    if (next === all.length) {
      const blocks = [bytes];
      const room = isLostAndFound(directory) ? LOST_AND_FOUND_BYTES / blockSize : 1;
      while (blocks.length < room) blocks.push(direntBlock([], 0, blockSize, sum).bytes);
      return { blocks, isIndexed: false };
    }
  }
  const blocks = htreeBlocks(entries, { self: directory.inode, parent }, hasher, blockSize, sum);
  if (!blocks) throw tooManyNames(directory, blockSize);
  return { blocks, isIndexed: true };
}

/** How many blocks {@link directoryBlocks} gives, or a few more. */
export function directoryLength(directory: Directory, blockSize: number, hasChecksum: boolean): number {
  let bytes = direntLength(1) + direntLength(2);
  for (const name of directory.children.keys()) bytes += direntLength(name.length);
  const capacity = direntCapacity(blockSize, hasChecksum);
  const least = isLostAndFound(directory) ? LOST_AND_FOUND_BYTES / blockSize : 1;
  if (bytes <= capacity) return least;
  // A block is left when the next entry does not fit any more.
  const leaves = Math.ceil(bytes / (capacity - direntLength(MAX_NAME)));
  return leaves + (indexLength(leaves, blockSize, hasChecksum) ?? Math.ceil(leaves / 100));
}

function isLostAndFound({ parent, inode }: Directory): boolean {
  const child = parent && !parent.parent ? parent.children.get(LOST_AND_FOUND) : undefined;
  return typeof child === 'object' && child.inode === inode;
}

function tooManyNames(directory: Directory, blockSize: number): Ext2Error {
  return new Ext2Error(
    'TOO_LARGE',
    `the directory has ${directory.children.size} names, more than blocks of ${blockSize} bytes can index: use larger ones.`,
    { path: pathOf(directory) },
  );
}
