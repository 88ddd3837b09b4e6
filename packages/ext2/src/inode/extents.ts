import { crc32c } from '@tsvmm/base';
import type { Run } from './block-map.ts';
import { MAP_LENGTH } from './inode.ts';

// ext4_extent_header, ext4_extent and ext4_extent_idx, 12 bytes each.
const MAGIC = 0xf30a;
const HEADER_LENGTH = 12;
const ENTRY_LENGTH = 12;
const TAIL_LENGTH = 4;
/** ee_len says that an extent is not initialised when it is larger. */
const MAX_EXTENT = 32_768;
const ROOT_ENTRIES = (MAP_LENGTH - HEADER_LENGTH) / ENTRY_LENGTH;

/** How many entries a block of an extent tree has. */
export function extentsPerBlock(blockSize: number): number {
  return Math.floor((blockSize - HEADER_LENGTH) / ENTRY_LENGTH);
}

/**
 * An extent tree: the root as i_block has it. Other nodes are handed to `place`, which says where it put them.
 * @param sum what checksums of the inode's blocks start with; undefined without
 */
export async function extentTree(
  runs: readonly Run[],
  blockSize: number,
  sum: number | undefined,
  place: (bytes: Buffer) => Promise<number>,
): Promise<Buffer> {
  const perBlock = extentsPerBlock(blockSize);
  let entries = splitRuns(runs);
  let depth = 0;
  while (entries.length > ROOT_ENTRIES) {
    const parents: Run[] = [];
    for (let at = 0; at < entries.length; at += perBlock) {
      const bytes = Buffer.alloc(blockSize);
      const part = entries.slice(at, at + perBlock);
      encodeNode(bytes, part, depth, perBlock);
      const tail = HEADER_LENGTH + perBlock * ENTRY_LENGTH;
      if (sum !== undefined && tail + TAIL_LENGTH <= blockSize) {
        bytes.writeUInt32LE(crc32c(sum, bytes, 0, tail), tail);
      }
      parents.push({ logical: part[0]?.logical ?? 0, physical: await place(bytes), length: 0 });
    }
    entries = parents;
    depth++;
  }
  const root = Buffer.alloc(MAP_LENGTH);
  encodeNode(root, entries, depth, ROOT_ENTRIES);
  return root;
}

function splitRuns(runs: readonly Run[]): readonly Run[] {
  if (runs.every(({ length }) => length <= MAX_EXTENT)) return runs;
  return runs.flatMap(({ logical, physical, length }) =>
    Array.from({ length: Math.ceil(length / MAX_EXTENT) }, (_, i) => ({
      logical: logical + i * MAX_EXTENT,
      physical: physical + i * MAX_EXTENT,
      length: Math.min(MAX_EXTENT, length - i * MAX_EXTENT),
    })),
  );
}

function encodeNode(bytes: Buffer, entries: readonly Run[], depth: number, capacity: number): void {
  bytes.writeUInt16LE(MAGIC, 0);
  bytes.writeUInt16LE(entries.length, 2);
  bytes.writeUInt16LE(capacity, 4);
  bytes.writeUInt16LE(depth, 6);
  let at = HEADER_LENGTH;
  for (const { logical, physical, length } of entries) {
    const high = Math.floor(physical / 2 ** 32);
    const low = physical % 2 ** 32;
    bytes.writeUInt32LE(logical, at);
    if (depth === 0) {
      bytes.writeUInt16LE(length, at + 4);
      bytes.writeUInt16LE(high, at + 6);
      bytes.writeUInt32LE(low, at + 8);
    } else {
      bytes.writeUInt32LE(low, at + 4);
      bytes.writeUInt16LE(high, at + 8);
    }
    at += ENTRY_LENGTH;
  }
}
