import { directoryLength, LOST_AND_FOUND } from './directory/blocks.ts';
import { Namespace } from './directory/namespace.ts';
import { nameBytes, shownName } from './directory/path.ts';
import type { Entry, FileEntry } from './entry.ts';
import { extentsPerBlock } from './inode/extents.ts';
import { MAP_LENGTH } from './inode/inode.ts';
import { FIRST_INODE, type Geometry } from './layout/geometry.ts';
import { blockSizeOf, type FilesystemOptions, inodesByRatio, resolveOptions } from './options.ts';
import { placeAttributes } from './xattr/attributes.ts';

export interface PlanOptions extends Omit<FilesystemOptions, 'inodes'> {
  /** Bytes that are to be free at least; a tenth of the contents, and 16 MiB at least, unless given. */
  readonly freeSpace?: number;
  /** Bytes that the size is a multiple of; 1 MiB unless given. */
  readonly sizeMultiple?: number;
  readonly signal?: AbortSignal;
}

/** What a file system has to be like to hold some entries: options of `makeFilesystem`. */
export interface FilesystemPlan {
  /** Bytes. */
  readonly size: number;
  readonly inodes: number;
}

const MIB = 2 ** 20;
const MIN_FREE = 16 * MIB;

/**
 * The size that holds the entries and some free space, with inodes for all of them and a few more. No contents are read.
 * @throws Ext2Error for entries that cannot be in a file system
 */
export async function planFilesystem(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  options: PlanOptions = {},
): Promise<FilesystemPlan> {
  const blockSize = blockSizeOf(options);
  const { type = 'ext4', sizeMultiple = MIB, signal } = options;
  let inodeCount = 0;
  const namespace = new Namespace(2, () => FIRST_INODE + inodeCount++);
  const time = { seconds: 0, nanoseconds: 0 };
  const lostAndFound = { path: LOST_AND_FOUND, mode: 0, uid: 0, gid: 0, mtime: time };
  namespace.addDirectory({ ...lostAndFound, type: 'directory' });
  let blocks = 0;
  for await (const entry of entries) {
    signal?.throwIfAborted();
    if (entry.type === 'hard-link') {
      namespace.addLink(entry.path, entry.target);
      continue;
    }
    if (entry.type === 'directory') namespace.addDirectory(entry);
    else namespace.addLeaf(entry.path, entry.type);
    if (entry.type === 'file') blocks += fileLength(entry, blockSize, type === 'ext4');
    if (entry.type === 'symlink' && nameBytes(entry.target).length >= MAP_LENGTH) blocks++;
    const { xattrs } = entry;
    if (xattrs && xattrs.size > 0 && placeAttributes(xattrs, blockSize, shownName(entry.path)).block)
      blocks++;
  }
  for (const directory of namespace.directories) {
    const length = directoryLength(directory, blockSize, type === 'ext4');
    blocks += length + mapLength(1, length, blockSize, type === 'ext4');
  }
  const { freeSpace = Math.max(MIN_FREE, blocks * blockSize * 0.1) } = options;
  const needed = blocks + Math.ceil(freeSpace / blockSize);
  const minInodes = Math.ceil(inodeCount * 1.1) + FIRST_INODE + 5;
  const round = (bytes: number) => Math.ceil(bytes / sizeMultiple) * sizeMultiple;
  // A group has at most as many inodes as blocks.
  const leastBlocks = Math.max(needed, minInodes);
  // What the metadata takes follows from the size. Each pass adds what was missing, so that a few are enough.
  for (let size = round(leastBlocks * blockSize + MIB / 4); ; ) {
    const inodes = Math.max(minInodes, inodesByRatio(options, size));
    const { geometry, journalLength } = resolveOptions({ ...options, inodes }, size);
    const reserved = journalLength + mapLength(8, journalLength, blockSize, true) + 1;
    const missing = needed + reserved - dataBlocks(geometry);
    if (missing <= 0) return { size, inodes };
    size = round(size + missing * blockSize);
  }
}

/** Blocks that are for files. */
function dataBlocks(geometry: Geometry): number {
  let blocks = 0;
  for (let group = 0; group < geometry.groupCount; group++) {
    blocks += geometry.groupLength(group) - geometry.overhead(group);
  }
  return blocks;
}

/** Blocks of a file at most. */
function fileLength(entry: FileEntry, blockSize: number, hasExtents: boolean): number {
  const ranges = entry.dataRanges ?? [{ position: 0, length: entry.size }];
  let blocks = 0;
  for (const { position, length } of ranges) {
    blocks += Math.ceil((position + length) / blockSize) - Math.floor(position / blockSize);
  }
  return blocks + mapLength(ranges.length, blocks, blockSize, hasExtents);
}

/** Blocks at most that map `blocks` blocks in so many ranges. */
function mapLength(ranges: number, blocks: number, blockSize: number, hasExtents: boolean): number {
  if (hasExtents) {
    // Ranges are cut where groups begin. Holes that are found in the contents save more than they cost.
    const extents = ranges + 2 * Math.ceil(blocks / (blockSize * 8));
    if (extents <= 4) return 0;
    return Math.ceil((1.01 * extents) / extentsPerBlock(blockSize)) + 4;
  }
  if (blocks === 0) return 0;
  const perBlock = blockSize / 4;
  let pointers = 0;
  for (let level = 1; level <= 3; level++) pointers += Math.ceil(blocks / perBlock ** level) + ranges;
  return pointers;
}
