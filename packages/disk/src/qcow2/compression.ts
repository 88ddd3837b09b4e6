import { promisify } from 'node:util';
import { inflateRaw, inflateRawSync, type ZlibOptions, zstdDecompressSync } from 'node:zlib';
import type { CompressionType } from './header.ts';

const inflateInPool = promisify<Uint8Array, ZlibOptions, Uint8Array>(inflateRaw);

/**
 * The contents of a compressed cluster; undefined when it is not one. `bytes` may go on after the compressed data.
 * @param clusterSize bytes that come out, no more and no fewer
 */
export function decompressCluster(
  type: CompressionType,
  bytes: Uint8Array,
  clusterSize: number,
): Uint8Array | undefined {
  try {
    const options = { maxOutputLength: clusterSize, chunkSize: clusterSize };
    const out =
      type === 'zlib'
        ? inflateRawSync(bytes, options)
        : zstdDecompressSync(bytes.subarray(0, zstdFrameLength(bytes)), options);
    return out.length === clusterSize ? out : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The same, where it helps on the thread pool: with zlib, which is slow. What zstd sets up there for a cluster takes longer
 * than the cluster.
 */
export async function decompressInPool(
  type: CompressionType,
  bytes: Uint8Array,
  clusterSize: number,
): Promise<Uint8Array | undefined> {
  if (type === 'zstd') return decompressCluster(type, bytes, clusterSize);
  try {
    const out = await inflateInPool(bytes, { maxOutputLength: clusterSize, chunkSize: clusterSize });
    return out.length === clusterSize ? out : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The length of the zstd frame that `bytes` start with (RFC 8878, section 3.1.1). What follows a cluster may be the frame
 * of another one, which a decoder would take for more of this.
 */
function zstdFrameLength(bytes: Uint8Array): number {
  const descriptor = bytes[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = 5 + (isSingleSegment ? 0 : 1) + dictionaryId + contentSize;
  for (let isLast = false; !isLast && at + 3 <= bytes.length; ) {
    const header = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
    isLast = (header & 1) !== 0;
    const isRepeated = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeated ? 1 : header >> 3);
  }
  const checksum = (descriptor & 4) !== 0 ? 4 : 0;
  return at + checksum;
}
