import { crc32c } from '@tsvmm/base';
import { crc32cOfWord } from '../checksum.ts';
import type { NameHasher } from './hash.ts';
import { type Dirent, DirentType, direntBlock, writeDirent } from './records.ts';

// Documentation/filesystems/ext4, "Hash Tree Directories". To who does not know the index, its blocks are directory
// blocks without names.

const HASH_HALF_MD4 = 1;
const ROOT_INFO = 24;
const ROOT_INFO_LENGTH = 8;
/** Where the entries of the index start: behind `.`, `..` and the root's information, or behind an empty entry. */
const ROOT_ENTRIES = 32;
const NODE_ENTRIES = 8;
const ENTRY_LENGTH = 8;
const TAIL_LENGTH = 8;
/** Set in an index entry's hash when names of that hash are also in the block before. */
const CONTINUES = 1;

/** Part of an index: from which hash on a block of the directory is responsible. */
interface IndexEntry {
  readonly hash: number;
  readonly block: number;
}

/** How many entries the index blocks of a directory have. */
function capacities(
  blockSize: number,
  hasChecksum: boolean,
): { readonly root: number; readonly node: number } {
  const tail = hasChecksum ? TAIL_LENGTH : 0;
  return {
    root: Math.floor((blockSize - ROOT_ENTRIES - tail) / ENTRY_LENGTH),
    node: Math.floor((blockSize - NODE_ENTRIES - tail) / ENTRY_LENGTH),
  };
}

/** Blocks of the index over so many blocks of names; undefined when two levels are too few. */
export function indexLength(leaves: number, blockSize: number, hasChecksum: boolean): number | undefined {
  const { root, node } = capacities(blockSize, hasChecksum);
  if (leaves <= root) return 1;
  const nodes = Math.ceil(leaves / node);
  return nodes <= root ? 1 + nodes : undefined;
}

/**
 * The blocks of a directory with an index, in their order; undefined when it has more names than two levels can hold.
 * @param entries without `.` and `..`
 * @param sum what checksums of the directory's blocks start with; undefined without
 */
export function htreeBlocks(
  entries: readonly Dirent[],
  { self, parent }: { readonly self: number; readonly parent: number },
  hasher: NameHasher,
  blockSize: number,
  sum: number | undefined,
): readonly Buffer[] | undefined {
  const hashed = entries.map((entry) => ({ entry, ...hasher.hash(entry.name) }));
  hashed.sort((a, b) => a.major - b.major || a.minor - b.minor);
  const sorted = hashed.map(({ entry }) => entry);
  const leaves: Buffer[] = [];
  const hashes: number[] = [];
  for (let start = 0; start < sorted.length; ) {
    const { major = 0 } = hashed[start] ?? {};
    hashes.push(start > 0 && hashed[start - 1]?.major === major ? (major | CONTINUES) >>> 0 : major);
    const { bytes, next } = direntBlock(sorted, start, blockSize, sum);
    leaves.push(bytes);
    start = next;
  }
  const length = indexLength(leaves.length, blockSize, sum !== undefined);
  if (length === undefined) return undefined;
  const { root, node } = capacities(blockSize, sum !== undefined);
  let index: IndexEntry[] = hashes.map((hash, i) => ({ hash, block: length + i }));
  const nodes: Buffer[] = [];
  if (length > 1) {
    const parents: IndexEntry[] = [];
    for (let at = 0; at < index.length; at += node) {
      const part = index.slice(at, at + node);
      parents.push({ hash: part[0]?.hash ?? 0, block: 1 + nodes.length });
      const bytes = Buffer.alloc(blockSize);
      bytes.writeUInt16LE(blockSize, 4);
      writeIndex(bytes, NODE_ENTRIES, part, node, sum);
      nodes.push(bytes);
    }
    index = parents;
  }
  const bytes = Buffer.alloc(blockSize);
  writeDirent(bytes, 0, { name: Buffer.from('.'), inode: self, type: DirentType.directory }, 12);
  writeDirent(
    bytes,
    12,
    { name: Buffer.from('..'), inode: parent, type: DirentType.directory },
    blockSize - 12,
  );
  bytes.writeUInt8(HASH_HALF_MD4, ROOT_INFO + 4);
  bytes.writeUInt8(ROOT_INFO_LENGTH, ROOT_INFO + 5);
  bytes.writeUInt8(length > 1 ? 1 : 0, ROOT_INFO + 6);
  writeIndex(bytes, ROOT_ENTRIES, index, root, sum);
  return [bytes, ...nodes, ...leaves];
}

/** The first entry has no hash, since nothing is below it: limit and count are in its place. */
function writeIndex(
  bytes: Buffer,
  start: number,
  index: readonly IndexEntry[],
  limit: number,
  sum: number | undefined,
): void {
  index.forEach(({ hash, block }, i) => {
    bytes.writeUInt32LE(hash, start + i * ENTRY_LENGTH);
    bytes.writeUInt32LE(block, start + i * ENTRY_LENGTH + 4);
  });
  bytes.writeUInt16LE(limit, start);
  bytes.writeUInt16LE(index.length, start + 2);
  if (sum === undefined) return;
  // Over what is in use, and over the tail with zero in place of the sum.
  const ofEntries = crc32c(sum, bytes, 0, start + index.length * ENTRY_LENGTH);
  const total = crc32cOfWord(crc32cOfWord(ofEntries, 0), 0);
  bytes.writeUInt32LE(total, start + limit * ENTRY_LENGTH + 4);
}
