import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decompressModule } from '../src/decompress.ts';
import { program } from './support/program.ts';

const COMPRESSORS = {
  'm.ko': (data: Uint8Array) => data,
  'm.ko.gz': (data: Uint8Array) => gzipSync(data),
  'm.ko.zst': (data: Uint8Array) => zstdCompressSync(data),
  // The options of the kernel's scripts/Makefile.modinst.
  'm.ko.xz': (data: Uint8Array) => program('xz', ['--check=crc32', '--lzma2=dict=1MiB', '--stdout'], data),
} as const;

test.each(Object.entries(COMPRESSORS))('%s comes out as it went in', async (name, compress) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 5000 }), async (data) => {
      expect(Buffer.from(await decompressModule(name, compress(data)))).toEqual(Buffer.from(data));
    }),
    { numRuns: 10 },
  );
});

test.each(['m.ko.gz', 'm.ko.zst', 'm.ko.xz'] as const)('a damaged %s is refused', async (name) => {
  const data = COMPRESSORS[name](Buffer.alloc(4096, 'abcdefg'));
  const damaged = data.subarray(0, data.length - 12);
  await expect(decompressModule(name, damaged)).rejects.toMatchObject({ code: 'BAD_MODULE' });
});
