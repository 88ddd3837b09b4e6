import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { unlz4 } from '../src/lz4.ts';
import { XxHash32 } from '../src/xxhash.ts';

const MAX_OUTPUT = 64 << 20;

const lz4 = (input: Uint8Array, ...options: string[]) =>
  execFileSync('lz4', ['-c', '-q', ...options, '-'], { input, maxBuffer: MAX_OUTPUT });

/** As `lz4 -d` would, from a stream that comes in pieces of `piece` bytes. */
async function unpack(packed: Uint8Array, piece = 1 << 18): Promise<Buffer> {
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= packed.length) return controller.close();
      controller.enqueue(packed.subarray(at, at + piece));
      at += piece;
    },
  });
  return Buffer.concat(await Array.fromAsync(unlz4(stream)));
}

/** Bytes with repetitions near and far, and some that do not shrink. */
const contents = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(4000)).map(([unit, times]) => {
        const bytes = new Uint8Array(unit.length * times);
        for (let at = 0; at < bytes.length; at += unit.length) bytes.set(unit, at);
        return bytes;
      }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts));

test.each(['-B4 -BI', '-B4 -BD -9', '-B4 -BD -BX --content-size', '-B7 -12 --no-frame-crc', '-l'])(
  'what lz4 %s packs is unpacked',
  async (options) => {
    const packed = fc.asyncProperty(contents, fc.integer({ min: 1, max: 5000 }), async (bytes, piece) => {
      expect((await unpack(lz4(bytes, ...options.split(' ')), piece)).equals(bytes)).toBe(true);
    });
    await fc.assert(packed, { numRuns: 20 });
  },
);

test('blocks of every size, of which the next refers to the one before', async () => {
  const words = Uint32Array.from({ length: 3 << 20 }, (_, index) => (index % 50_000) * 2_654_435_761);
  const bytes = Buffer.from(words.buffer);
  for (const options of [['-B4', '-BD'], ['-B7', '-BD'], ['-l']]) {
    expect((await unpack(lz4(bytes, ...options))).equals(bytes)).toBe(true);
  }
});

test('several frames, skippable ones between, are one file', async () => {
  const skippable = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9);
  const first = Buffer.from('first '.repeat(100));
  const second = Buffer.from('second'.repeat(100));
  for (const [a, b] of [
    [[], []],
    [['-l'], ['-l']],
    [['-l'], []],
  ] as const) {
    const file = Buffer.concat([lz4(first, ...a), skippable, lz4(second, ...b)]);
    expect((await unpack(file)).equals(Buffer.concat([first, second]))).toBe(true);
  }
});

test("the size that the kernel's build appends is not taken for a block", async () => {
  const bytes = Buffer.from('kernel'.repeat(1000));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes.length);
  const packed = lz4(bytes, '-l');
  expect((await unpack(Buffer.concat([packed, size]))).equals(bytes)).toBe(true);
  size.writeUInt32LE(bytes.length + 1);
  await expect(unpack(Buffer.concat([packed, size]))).rejects.toThrow('ends early');
});

test('of a damaged file, what lz4 takes is unpacked as lz4 does, and nothing runs over', async () => {
  const bytes = Buffer.concat([Buffer.from('abcdefgh'.repeat(900)), Buffer.alloc(70_000, 7)]);
  for (const options of [['-B4'], ['-B4', '-BD', '--no-frame-crc'], ['-l']]) {
    const good = lz4(bytes, ...options);
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }));
    const changes = fc.array(change, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(good.length), fc.boolean(), async (changes, length, isCut) => {
        const file = Buffer.from(isCut ? good.subarray(0, length) : good);
        for (const [at, mask] of changes) if (at < file.length) file[at] = (file[at] ?? 0) ^ mask;
        const ours = await unpack(file).catch((error: Error) => error);
        const { status, stdout } = spawnSync('lz4', ['-dcq', '-'], { input: file, maxBuffer: MAX_OUTPUT });
        if (status === 0) expect(ours).toEqual(stdout);
      }),
      { numRuns: 200 },
    );
  }
});

test('a frame of another version or with a dictionary is refused by what it is', async () => {
  const good = lz4(Buffer.from('x'.repeat(100)));
  const changed = (at: number, value: number) => unpack(Buffer.from(good.with(at, value)));
  await expect(changed(4, 0x24)).rejects.toThrow('version');
  await expect(changed(4, (good[4] ?? 0) | 1)).rejects.toThrow('dictionary');
  await expect(changed(6, (good[6] ?? 0) ^ 1)).rejects.toThrow('checksum of the frame descriptor');
  await expect(unpack(Buffer.concat([good, Buffer.from('more')]))).rejects.toThrow('no LZ4 frame');
});

// The specification's own values, and those of the reference implementation's self-test.
test.each([
  ['', 0x02cc_5d05],
  ['a', 0x550d_7456],
  ['abc', 0x32d1_53ff],
  ['Nobody inspects the spammish repetition', 0xe229_3b2f],
])('XXH32 of %j', (text, expected) => {
  const bytes = new TextEncoder().encode(text);
  expect(new XxHash32().update(bytes).digest()).toBe(expected);
  const piecewise = new XxHash32();
  for (const byte of bytes) piecewise.update(Uint8Array.of(byte));
  expect(piecewise.digest()).toBe(expected);
});
