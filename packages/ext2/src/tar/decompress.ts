import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { reasonOf } from '@tsvmm/base';
import { Ext2Error } from '../errors.ts';

const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** Compressions that are recognised to be named. */
const UNSUPPORTED: readonly (readonly [string, readonly number[]])[] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzip', [0x4c, 0x5a, 0x49, 0x50]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
  ['compress', [0x1f, 0x9d]],
];
const PROBE_LENGTH = 6;
const CHUNK_LENGTH = 256 * 1024;

/**
 * The bytes of a stream, decompressed if they start like gzip or zstd.
 * @throws Ext2Error UNSUPPORTED, BAD_ARCHIVE, while it is read
 */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  try {
    let length = 0;
    while (length < PROBE_LENGTH) {
      const next = await chunks.next();
      if (next.done) break;
      first.push(next.value);
      length += next.value.length;
    }
    const probe = Buffer.concat(first).subarray(0, PROBE_LENGTH);
    const starts = (magic: readonly number[]) => magic.every((byte, i) => probe[i] === byte);
    const unsupported = UNSUPPORTED.find(([, magic]) => starts(magic));
    if (unsupported) {
      const [name] = unsupported;
      throw new Ext2Error(
        'UNSUPPORTED',
        `The archive is compressed by ${name}: decompress it first, or compress it by gzip or zstd.`,
      );
    }
    const all = rejoined(first, chunks);
    if (starts(GZIP)) yield* through(all, createGunzip({ chunkSize: CHUNK_LENGTH }), 'gzip');
    else if (starts(ZSTD)) yield* through(all, createZstdDecompress({ chunkSize: CHUNK_LENGTH }), 'zstd');
    else yield* all;
  } finally {
    await chunks.return?.();
  }
}

async function* rejoined(
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* first;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

async function* through(
  source: AsyncIterable<Uint8Array>,
  decompressor: NodeJS.ReadWriteStream & AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let sourceError: unknown;
  const input = Readable.from(source);
  input.on('error', (error) => {
    sourceError = error;
  });
  // Errors arrive through the iteration too.
  pipeline(input, decompressor, () => {});
  try {
    yield* decompressor;
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError;
    const reason = reasonOf(cause);
    throw new Ext2Error('BAD_ARCHIVE', `What follows in the archive is no ${name} data: ${reason}.`, {
      cause,
    });
  }
}
