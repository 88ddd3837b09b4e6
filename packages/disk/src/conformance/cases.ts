import assert from 'node:assert/strict';
import type { Disk } from '../disk.ts';
import { SegmentList, type Segments } from '../segments.ts';

/** A format under test: how to make a disk of it, and open the same one again. */
export interface DiskUnderTest {
  /** A disk whose first bytes are `contents`. It may be larger, and reads as zero behind them. */
  create(contents: Uint8Array): Promise<Disk>;
  /** Opens what `create` made, after the disk was disposed of. */
  reopen(): Promise<Disk>;
}

/** One promise of the contract, and the program that shows whether a format keeps it. */
export interface ConformanceCase {
  readonly name: string;
  run(format: DiskUnderTest): Promise<void>;
}

const SIZE = 1024 * 1024;

function contents(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (let i = 0; i < SIZE; i++) bytes[i] = (i * 31 + (i >> 8) * 7) & 0xff;
  bytes.fill(0, 0x30000, 0x60000);
  return bytes;
}

async function bytesOf(disk: Disk, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length).fill(0xee);
  await disk.read(position, bytes);
  return bytes;
}

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.ok(Buffer.compare(actual, expected) === 0, what);
}

/** Three places of a shared memory, in no order. */
function sharedSegments(): { readonly segments: Segments; readonly joined: () => Uint8Array } {
  const memory = new Uint8Array(new SharedArrayBuffer(8192));
  const segments = new SegmentList();
  segments.memory = memory;
  segments.pairs = Float64Array.of(5000, 1000, 100, 3, 2000, 2001);
  segments.count = 3;
  segments.byteLength = 3004;
  const joined = () =>
    Buffer.concat([memory.slice(5000, 6000), memory.slice(100, 103), memory.slice(2000, 4001)]);
  return { segments, joined };
}

const reading: readonly ConformanceCase[] = [
  {
    name: 'reads what the image holds, at any position and length',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      assert.ok(disk.size >= SIZE);
      assert.ok(Number.isInteger(Math.log2(disk.blockSize)));
      same(await bytesOf(disk, 0, SIZE), expected, 'everything');
      for (const [position, length] of [
        [0, 0],
        [1, 1],
        [511, 2],
        [4095, 70_000],
        [0x2ffff, 0x30002],
        [SIZE - 1, 1],
      ] as const) {
        same(
          await bytesOf(disk, position, length),
          expected.subarray(position, position + length),
          `${position}`,
        );
      }
    },
  },
  {
    name: 'scatters into segments of shared memory, and touches nothing else',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      const { segments, joined } = sharedSegments();
      await disk.read(65_000, segments);
      same(joined(), expected.subarray(65_000, 65_000 + 3004), 'the segments');
      assert.equal(segments.memory[4001], 0);
      assert.equal(segments.memory[103], 0);
    },
  },
  {
    name: 'refuses ranges outside the disk',
    async run(format) {
      await using disk = await format.create(contents());
      const outside = { code: 'OUT_OF_RANGE' };
      await assert.rejects(disk.read(disk.size, new Uint8Array(1)), outside);
      await assert.rejects(disk.read(disk.size - 1, new Uint8Array(2)), outside);
      for (const position of [-1, 0.5, Number.NaN, 2 ** 60]) {
        await assert.rejects(disk.read(position, new Uint8Array(1)), outside);
      }
      await assert.rejects(disk.discard(disk.size, 1), outside);
      await assert.rejects(disk.writeZeroes(0, disk.size + 1), outside);
      await assert.rejects(disk.write(disk.size, new Uint8Array(1)), outside);
      await assert.rejects(disk.extentAt(disk.size), outside);
      await disk.read(disk.size, new Uint8Array(0));
    },
  },
  {
    name: 'its extents cover the disk, and only data may be other than zero',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      for (let position = 0; position < disk.size; ) {
        const { length, kind } = await disk.extentAt(position);
        assert.ok(length > 0 && position + length <= disk.size);
        const part = expected.subarray(position, Math.min(position + length, SIZE));
        if (kind !== 'data')
          assert.ok(
            part.every((byte) => byte === 0),
            `${position}`,
          );
        position += length;
      }
    },
  },
  {
    name: 'serves requests that overlap in time',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      const reads = Array.from({ length: 64 }, async (_, i) => {
        const position = (i * 40_503) % (SIZE - 20_000);
        same(
          await bytesOf(disk, position, 20_000),
          expected.subarray(position, position + 20_000),
          `${position}`,
        );
      });
      await Promise.all(reads);
    },
  },
  {
    name: 'says that it is closed',
    async run(format) {
      const disk = await format.create(contents());
      await disk[Symbol.asyncDispose]();
      await assert.rejects(disk.read(0, new Uint8Array(1)), { code: 'CLOSED' });
      await assert.rejects(disk.flush(), { code: 'CLOSED' });
      await disk[Symbol.asyncDispose]();
    },
  },
];

/** What every disk that cannot be written does. Run each case by the test runner of your choice. */
export const readOnlyCases: readonly ConformanceCase[] = [
  ...reading,
  {
    name: 'refuses to be changed',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      assert.equal(disk.readOnly, true);
      const refused = { code: 'READ_ONLY' };
      await assert.rejects(disk.write(0, new Uint8Array(1)), refused);
      await assert.rejects(disk.discard(0, 512), refused);
      await assert.rejects(disk.writeZeroes(0, 512), refused);
      await assert.rejects(disk.resize(0), refused);
      await disk.flush();
      same(await bytesOf(disk, 0, SIZE), expected, 'everything');
    },
  },
];

/** What every disk that can be written does. Run each case by the test runner of your choice. */
export const writableCases: readonly ConformanceCase[] = [
  ...reading,
  {
    name: 'writes at any position and length, and keeps it',
    async run(format) {
      const expected = contents();
      {
        await using disk = await format.create(expected);
        assert.equal(disk.readOnly, false);
        for (const [position, length] of [
          [0, 1],
          [700, 5000],
          [0x2fff0, 0x20],
          [0x40001, 0x1fffe],
          [SIZE - 3, 3],
        ] as const) {
          const bytes = new Uint8Array(length).map((_, i) => (position + i * 13) & 0xff);
          await disk.write(position, bytes);
          expected.set(bytes, position);
          same(await bytesOf(disk, 0, SIZE), expected, `${position}`);
        }
        await disk.flush();
      }
      await using disk = await format.reopen();
      same(await bytesOf(disk, 0, SIZE), expected, 'after reopening');
    },
  },
  {
    name: 'gathers from segments of shared memory',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      const { segments, joined } = sharedSegments();
      segments.memory.forEach((_, i) => {
        segments.memory[i] = i % 251;
      });
      await disk.write(130_000, segments);
      expected.set(joined(), 130_000);
      same(await bytesOf(disk, 0, SIZE), expected, 'everything');
    },
  },
  {
    name: 'zeroes ranges, unmapped or not, and leaves the rest alone',
    async run(format) {
      const expected = contents();
      {
        await using disk = await format.create(expected);
        for (const mayUnmap of [true, false]) {
          for (const [position, length] of [
            [1, 510],
            [0x10000, 0x10000],
            [0x61234, 0x25678],
            [SIZE - 5, 5],
          ] as const) {
            const shifted = mayUnmap ? position : position - (position % 7);
            await disk.writeZeroes(shifted, length, { mayUnmap });
            expected.fill(0, shifted, shifted + length);
            same(await bytesOf(disk, 0, SIZE), expected, `${shifted}`);
          }
        }
      }
      await using disk = await format.reopen();
      same(await bytesOf(disk, 0, SIZE), expected, 'after reopening');
    },
  },
  {
    name: 'discards, and keeps what is around it',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      await disk.discard(0x11111, 0x22222);
      const after = await bytesOf(disk, 0, SIZE);
      for (let i = 0; i < SIZE; i++) {
        const isInside = i >= 0x11111 && i < 0x33333;
        if (after[i] !== expected[i] && !(isInside && after[i] === 0)) assert.fail(`byte ${i}`);
      }
      same(await bytesOf(disk, 0, SIZE), after, 'it reads the same twice');
    },
  },
  {
    name: 'serves writes and reads that overlap in time',
    async run(format) {
      const expected = contents();
      await using disk = await format.create(expected);
      const changes = Array.from({ length: 48 }, async (_, i) => {
        const position = i * 21_000;
        const bytes = new Uint8Array(20_000).fill(i + 1);
        expected.set(bytes, position);
        await disk.write(position, bytes);
        same(await bytesOf(disk, position, 20_000), bytes, `${position}`);
        if (i % 8 === 0) await disk.flush();
      });
      await Promise.all(changes);
      same(await bytesOf(disk, 0, SIZE), expected, 'everything');
    },
  },
];

/** What every writable disk does whose size can change. */
export const resizableCases: readonly ConformanceCase[] = [
  {
    name: 'grows by zeroes and shrinks',
    async run(format) {
      const expected = contents();
      {
        await using disk = await format.create(expected);
        const start = disk.size;
        await disk.resize(start + 3_000_000);
        assert.equal(disk.size, start + 3_000_000);
        assert.ok((await bytesOf(disk, start, 3_000_000)).every((byte) => byte === 0));
        await disk.write(start + 2_999_999, Uint8Array.of(9));
        await disk.resize(300_001);
        await assert.rejects(disk.read(300_001, new Uint8Array(1)), { code: 'OUT_OF_RANGE' });
        await disk.resize(SIZE);
        expected.fill(0, 300_001);
        same(await bytesOf(disk, 0, SIZE), expected, 'what was cut off is gone');
        await assert.rejects(disk.resize(-1), { code: 'BAD_OPTION' });
      }
      await using disk = await format.reopen();
      assert.equal(disk.size, SIZE);
      same(await bytesOf(disk, 0, SIZE), expected, 'after reopening');
    },
  },
];
