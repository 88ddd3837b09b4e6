/** JBD2's numbers are big-endian; see Documentation/filesystems/ext4, "Journal (jbd2)". */
const MAGIC = 0xc03b_3998;
const SUPERBLOCK_V2 = 4;

/** How long mke2fs makes journals, in blocks, by the blocks of the file system; none below 2048. */
const LENGTHS = [
  [2048, 1024],
  [32_768, 4096],
  [2 ** 18, 8192],
  [2 ** 19, 16_384],
  [2 ** 22, 32_768],
  [2 ** 23, 65_536],
  [2 ** 24, 131_072],
  [2 ** 25, 262_144],
] as const;

/** Blocks of a journal for a file system of so many; 0 when it is too small for one. */
export function journalLength(blockCount: number): number {
  return LENGTHS.findLast(([from]) => blockCount >= from)?.[1] ?? 0;
}

/** The first block of an empty journal; the others need not be anything. */
export function encodeJournalSuperblock(blockSize: number, length: number, uuid: Uint8Array): Buffer {
  const bytes = Buffer.alloc(blockSize);
  bytes.writeUInt32BE(MAGIC, 0x0);
  bytes.writeUInt32BE(SUPERBLOCK_V2, 0x4);
  bytes.writeUInt32BE(blockSize, 0xc);
  bytes.writeUInt32BE(length, 0x10);
  bytes.writeUInt32BE(1, 0x14);
  bytes.writeUInt32BE(1, 0x18);
  bytes.set(uuid, 0x30);
  bytes.writeUInt32BE(1, 0x40);
  return bytes;
}
