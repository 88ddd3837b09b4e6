import { deflateRaw, inflateRawSync, zstdCompress, zstdDecompressSync } from 'node:zlib';
import type { CompressionType } from './header.ts';

/** QEMU reads clusters with a window of 4 KiB. */
const WINDOW_BITS = 12;

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
    const options = { maxOutputLength: clusterSize };
    const out = type === 'zlib' ? inflateRawSync(bytes, options) : zstdDecompressSync(bytes, options);
    return out.length === clusterSize ? out : undefined;
  } catch {
    return undefined;
  }
}

/** Compresses a cluster on the thread pool; undefined when that does not make it smaller. */
export function compressCluster(type: CompressionType, bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
  const done = (error: Error | null, out: Uint8Array) => {
    if (error) reject(error);
    else resolve(out.length < bytes.length ? out : undefined);
  };
  if (type === 'zlib') deflateRaw(bytes, { windowBits: WINDOW_BITS }, done);
  else zstdCompress(bytes, done);
  return promise;
}
