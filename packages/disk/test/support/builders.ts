import { zstdCompressSync } from 'node:zlib';

/** An Android sparse image by the comments of sparse_format.h: raw, fill, don't-care and checksum chunks. */
export function androidSparse(contents: Uint8Array, blockSize = 4096): Uint8Array {
  const chunks: Buffer[] = [];
  const chunk = (type: number, blocks: number, data: Uint8Array) => {
    const head = Buffer.alloc(12);
    head.writeUInt16LE(type, 0);
    head.writeUInt32LE(blocks, 4);
    head.writeUInt32LE(12 + data.length, 8);
    chunks.push(Buffer.concat([head, data]));
  };
  const total = Math.ceil(contents.length / blockSize);
  for (let block = 0; block < total; block++) {
    const bytes = Buffer.alloc(blockSize);
    bytes.set(contents.subarray(block * blockSize, (block + 1) * blockSize));
    const word = bytes.subarray(0, 4);
    const isFill = bytes.equals(Buffer.alloc(blockSize, word));
    if (isFill && word.every((byte) => byte === 0) && block % 2 === 0) chunk(0xcac3, 1, new Uint8Array(0));
    else if (isFill) chunk(0xcac2, 1, word);
    else chunk(0xcac1, 1, bytes);
    if (block % 50 === 0) chunk(0xcac4, 0, Uint8Array.of(1, 2, 3, 4));
  }
  const header = Buffer.alloc(28);
  header.writeUInt32LE(0xed26ff3a, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(28, 8);
  header.writeUInt16LE(12, 10);
  header.writeUInt32LE(blockSize, 12);
  header.writeUInt32LE(total, 16);
  header.writeUInt32LE(chunks.length, 20);
  return Buffer.concat([header, ...chunks]);
}

/** A seekable zstd image by zstd_seekable_compression_format.md. */
export function zstdSeekable(contents: Uint8Array, frameLength: number, withChecksums = false): Uint8Array {
  const frames: Uint8Array[] = [];
  const entries: Buffer[] = [];
  for (let at = 0; at < contents.length; at += frameLength) {
    const part = contents.subarray(at, at + frameLength);
    const frame = zstdCompressSync(part);
    frames.push(frame);
    const entry = Buffer.alloc(withChecksums ? 12 : 8);
    entry.writeUInt32LE(frame.length, 0);
    entry.writeUInt32LE(part.length, 4);
    entries.push(entry);
  }
  const table = Buffer.concat(entries);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a5e, 0);
  head.writeUInt32LE(table.length + 9, 4);
  const footer = Buffer.alloc(9);
  footer.writeUInt32LE(entries.length, 0);
  footer.writeUInt8(withChecksums ? 0x80 : 0, 4);
  footer.writeUInt32LE(0x8f92eab1, 5);
  return Buffer.concat([...frames, head, table, footer]);
}
