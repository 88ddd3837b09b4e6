import { crc32c } from '@tsvmm/base';

/** Bytes of a name at most. */
export const MAX_NAME = 255;
const HEADER_LENGTH = 8;
/** With metadata_csum, a block ends with what looks like an entry without a name and holds the checksum. */
const TAIL_LENGTH = 12;
const TAIL_TYPE = 0xde;

/** The file_type of directory entries. */
export const DirentType = {
  file: 1,
  directory: 2,
  'character-device': 3,
  'block-device': 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const;

/** A name in a directory. */
export interface Dirent {
  readonly name: Uint8Array;
  readonly inode: number;
  /** One of {@link DirentType}. */
  readonly type: number;
}

/** Bytes that an entry takes at least. */
export function direntLength(nameLength: number): number {
  return (HEADER_LENGTH + nameLength + 3) & ~3;
}

/** Bytes of a block that entries can have. */
export function direntCapacity(blockSize: number, hasChecksum: boolean): number {
  return hasChecksum ? blockSize - TAIL_LENGTH : blockSize;
}

/** Writes an entry that takes `length` bytes. */
export function writeDirent(bytes: Buffer, at: number, { name, inode, type }: Dirent, length: number): void {
  bytes.writeUInt32LE(inode, at);
  bytes.writeUInt16LE(length, at + 4);
  bytes.writeUInt8(name.length, at + 6);
  bytes.writeUInt8(type, at + 7);
  bytes.set(name, at + HEADER_LENGTH);
}

/**
 * A block of the entries from index `start` on, as many as fit; with none, an empty block.
 * @param sum what checksums of the directory's blocks start with; undefined without
 * @returns the block, and the index of the first entry that did not fit
 */
export function direntBlock(
  entries: readonly Dirent[],
  start: number,
  blockSize: number,
  sum: number | undefined,
): { readonly bytes: Buffer; readonly next: number } {
  const bytes = Buffer.alloc(blockSize);
  const capacity = direntCapacity(blockSize, sum !== undefined);
  let next = start;
  let at = 0;
  let last = 0;
  for (let entry = entries[next]; entry; entry = entries[next]) {
    const length = direntLength(entry.name.length);
    if (at + length > capacity) break;
    writeDirent(bytes, at, entry, length);
    last = at;
    at += length;
    next++;
  }
  // The last entry has what is left of the block.
  bytes.writeUInt16LE(capacity - last, last + 4);
  if (sum !== undefined) {
    bytes.writeUInt16LE(TAIL_LENGTH, capacity + 4);
    bytes.writeUInt8(TAIL_TYPE, capacity + 7);
    bytes.writeUInt32LE(crc32c(sum, bytes, 0, capacity), capacity + 8);
  }
  return { bytes, next };
}
