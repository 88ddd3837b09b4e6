import { KernelImageError } from './errors.ts';
import { unlz4 } from './lz4.ts';
import { type ByteSource, bytesSource, pieces } from './source.ts';

/** Unpacks a stream. Must not read further ahead of its consumer than a buffer or two. */
export type Decompressor = (packed: ReadableStream<Uint8Array<ArrayBuffer>>) => AsyncIterable<Uint8Array>;

/** How each kind of compression is unpacked. */
export interface Decompressors {
  /** The platform's DecompressionStream unless given. */
  readonly gzip?: Decompressor;
  /** node:zlib's where there is one, unless given. */
  readonly zstd?: Decompressor;
  /** This package's own unless given. */
  readonly lz4?: Decompressor;
}

const MAGIC: readonly [string, readonly number[]][] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lzop', [0x89, 0x4c, 0x5a, 0x4f]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzma', [0x5d, 0x00, 0x00]],
];

/** The kind of compression that a file beginning with `head` has, if any. */
export function compressionOf(head: Uint8Array): string | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, index) => head[index] === byte))?.[0];
}

/**
 * The first `length` bytes of `packed`, unpacked, or all there is.
 * @throws KernelImageError UNSUPPORTED_COMPRESSION, DECOMPRESSION_FAILED
 */
export async function decompressHead(
  packed: ByteSource,
  compression: string,
  length: number,
  decompressors: Decompressors,
): Promise<ByteSource> {
  const { chunks } = await unpack(packed, compression, length, decompressors);
  return bytesSource(...chunks);
}

/**
 * The whole of `packed`, unpacked; never more than `limit` bytes, whatever it claims.
 * @throws KernelImageError UNSUPPORTED_COMPRESSION, DECOMPRESSION_FAILED, TOO_LARGE
 */
export async function decompress(
  packed: ByteSource,
  compression: string,
  limit: number,
  decompressors: Decompressors,
): Promise<ByteSource> {
  const { chunks, size } = await unpack(packed, compression, limit, decompressors);
  if (size > limit) {
    const message = `The kernel unpacks to more than ${limit} bytes: it is no kernel, or the limit must be raised.`;
    throw new KernelImageError('TOO_LARGE', message);
  }
  return bytesSource(...chunks);
}

/** Unpacks until there is more than `enough`. */
async function unpack(
  packed: ByteSource,
  compression: string,
  enough: number,
  decompressors: Decompressors,
): Promise<{ readonly chunks: readonly Uint8Array[]; readonly size: number }> {
  const decompressor = decompressorFor(compression, decompressors);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of decompressor(streamOf(packed))) {
      size += chunk.length;
      chunks.push(chunk);
      if (size > enough) break;
    }
  } catch (cause) {
    if (cause instanceof KernelImageError) throw cause;
    const message = `The kernel's ${compression} data is damaged or cut short: get the file again.`;
    throw new KernelImageError('DECOMPRESSION_FAILED', message, { cause });
  }
  return { chunks, size };
}

function decompressorFor(compression: string, decompressors: Decompressors): Decompressor {
  // A map, because an image names its compression as it likes.
  const known = new Map<string, Decompressor | undefined>([
    ['gzip', decompressors.gzip ?? gunzip],
    ['zstd', decompressors.zstd ?? nodeUnzstd()],
    ['lz4', decompressors.lz4 ?? unlz4],
  ]);
  const found = known.get(compression);
  if (found) return found;
  const message = `The kernel is compressed with ${compression}, which cannot be unpacked here: unpack it first.`;
  throw new KernelImageError('UNSUPPORTED_COMPRESSION', message);
}

const gunzip: Decompressor = (packed) => packed.pipeThrough(new DecompressionStream('gzip'));

/** zstd is in no browser, but in node:zlib, which is found without an import that a browser would stumble over. */
function nodeUnzstd(): Decompressor | undefined {
  const { process } = globalThis as { process?: Partial<NodeJS.Process> };
  const zlib = process?.getBuiltinModule?.('node:zlib');
  const stream = process?.getBuiltinModule?.('node:stream');
  if (!zlib?.createZstdDecompress || !stream) return undefined;
  return async function* unzstd(packed) {
    const unpacked = zlib.createZstdDecompress();
    // What goes wrong in the pipeline comes out of the iteration below as well.
    stream.promises.pipeline(packed, unpacked).catch(() => {});
    yield* unpacked;
  };
}

function streamOf(source: ByteSource): ReadableStream<Uint8Array<ArrayBuffer>> {
  const parts = pieces(source, 0, source.size, 1 << 18);
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await parts.next();
        if (done) controller.close();
        // The stream keeps what it is given, and the piece's buffer is used again.
        else controller.enqueue(value.bytes.slice());
      },
    },
    { highWaterMark: 0 },
  );
}
