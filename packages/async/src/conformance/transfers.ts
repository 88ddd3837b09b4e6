import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { ConformanceCase } from './case.ts';
import { openFile, pattern, Recorder, segmentsOf } from './recorder.ts';

const SIZE = 256 * 1024;

/** Moving bytes and changing files. */
export const transferCases: readonly ConformanceCase[] = [
  {
    name: 'moves bytes between a file and places of shared memory, and touches nothing else',
    async run({ open, folder }) {
      await using executor = open();
      const contents = pattern(SIZE);
      using file = openFile(folder, contents);
      const memory = new Uint8Array(new SharedArrayBuffer(16_384)).fill(0xee);
      const recorder = new Recorder();
      executor.read(
        file.fd,
        777,
        segmentsOf(memory, [9000, 5000], [10, 3], [100, 0], [4000, 1]),
        recorder,
        0,
      );
      assert.equal((await recorder.ended(1)).get(0), 5004);
      assert.deepEqual(memory.slice(9000, 14_000), contents.slice(777, 5777));
      assert.deepEqual(memory.slice(10, 13), contents.slice(5777, 5780));
      assert.equal(memory[4000], contents[5780]);
      assert.ok([9, 13, 100, 3999, 4001, 8999, 14_000].every((at) => memory[at] === 0xee));
      executor.write(file.fd, 100_001, segmentsOf(memory, [10, 3], [9000, 4000]), recorder, 1);
      assert.equal((await recorder.ended(2)).get(1), 4003);
      contents.set(memory.slice(10, 13), 100_001);
      contents.set(memory.slice(9000, 13_000), 100_004);
      assert.ok(Buffer.compare(readFileSync(join(folder, 'file')), contents) === 0);
    },
  },
  {
    name: 'reads fewer bytes only at the end of the file, and extends it by writing',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(1000));
      const recorder = new Recorder();
      const memory = new Uint8Array(500);
      const all = segmentsOf(memory, [0, 300], [300, 200]);
      executor.read(file.fd, 600, all, recorder, 0);
      executor.read(file.fd, 1000, all, recorder, 1);
      executor.read(file.fd, 2 ** 40, all, recorder, 2);
      executor.read(file.fd, 10, segmentsOf(memory), recorder, 3);
      const results = await recorder.ended(4);
      assert.deepEqual(
        [0, 1, 2, 3].map((token) => results.get(token)),
        [400, 0, 0, 0],
      );
      executor.write(file.fd, 5000, all, recorder, 4);
      assert.equal((await recorder.ended(5)).get(4), 500);
      assert.equal(statSync(join(folder, 'file')).size, 5500);
    },
  },
  {
    name: 'takes any number of segments',
    async run({ open, folder }) {
      await using executor = open();
      const contents = pattern(SIZE);
      using file = openFile(folder, contents);
      const recorder = new Recorder();
      const memory = new Uint8Array(SIZE);
      // Backwards, so that no two of them are one.
      const pairs = Array.from({ length: 1024 }, (_, i) => [(1023 - i) * 256, 200 + (i % 57)] as const);
      const segments = segmentsOf(memory, ...pairs);
      executor.read(file.fd, 3, segments, recorder, 0);
      assert.equal((await recorder.ended(1)).get(0), segments.byteLength);
      let position = 3;
      for (const [offset, length] of pairs) {
        assert.ok(
          Buffer.compare(
            memory.subarray(offset, offset + length),
            contents.subarray(position, position + length),
          ) === 0,
        );
        position += length;
      }
      executor.write(file.fd, 1, segments, recorder, 1);
      assert.equal((await recorder.ended(2)).get(1), segments.byteLength);
      const after = readFileSync(join(folder, 'file'));
      assert.ok(
        after.subarray(1, 1 + segments.byteLength).equals(contents.subarray(3, 3 + segments.byteLength)),
      );
    },
  },
  {
    name: 'frees and zeroes ranges, and brings a file to stable storage',
    async run({ open, folder }) {
      await using executor = open();
      const contents = pattern(SIZE);
      using file = openFile(folder, contents);
      const path = join(folder, 'file');
      const recorder = new Recorder();
      executor.sync(file.fd, true, recorder, 0);
      executor.sync(file.fd, false, recorder, 1);
      await recorder.ended(2);
      const before = statSync(path).blocks;
      executor.allocate(file.fd, 'punchHole', 65_536, 65_536, recorder, 2);
      executor.allocate(file.fd, 'zeroRange', 10, 4096, recorder, 3);
      executor.discard(file.fd, 196_608, 32_768, recorder, 4);
      executor.discard(file.fd, 0, 0, recorder, 5);
      const results = await recorder.ended(6);
      assert.deepEqual([...results.values()], [0, 0, 0, 0, 0, 0]);
      contents.fill(0, 65_536, 131_072).fill(0, 10, 4106).fill(0, 196_608, 229_376);
      assert.ok(Buffer.compare(readFileSync(path), contents) === 0);
      assert.ok(statSync(path).blocks <= before - 192);
      executor.allocate(file.fd, 'allocate', SIZE, 65_536, recorder, 6);
      assert.equal((await recorder.ended(7)).get(6), 0);
      assert.equal(statSync(path).size, SIZE + 65_536);
    },
  },
  {
    name: "says what the host refused as the request's result",
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, new Uint8Array(10));
      const { EBADF, EINVAL } = constants.errno;
      const recorder = new Recorder();
      const byte = segmentsOf(new Uint8Array(1), [0, 1]);
      executor.read(0x7fff_0000, 0, byte, recorder, 0);
      executor.sync(0x7fff_0000, true, recorder, 1);
      executor.poll(0x7fff_0000, 1, recorder, 2);
      executor.allocate(file.fd, 'allocate', Number.MAX_SAFE_INTEGER - 1, 1, recorder, 3);
      const results = await recorder.ended(4);
      assert.deepEqual(
        [0, 1, 2].map((token) => results.get(token)),
        [-EBADF, -EBADF, -EBADF],
      );
      assert.ok([-constants.errno.EFBIG, -EINVAL].includes(results.get(3) ?? 0));
    },
  },
  {
    name: 'starts nothing that does not lie in its memory',
    async run({ open, folder }) {
      await using executor = open();
      using file = openFile(folder, pattern(4096));
      const recorder = new Recorder();
      const memory = new Uint8Array(100);
      for (const pair of [
        [0, 101],
        [100, 1],
        [-1, 1],
        [0.5, 1],
        [0, 0.5],
        [Number.NaN, 1],
        [0, Number.POSITIVE_INFINITY],
        [2 ** 53, 1],
      ] as const) {
        assert.throws(
          () => executor.read(file.fd, 0, segmentsOf(memory, [0, 1], pair), recorder, 0),
          { code: 'BAD_REQUEST' },
          `${pair}`,
        );
      }
      const lying = { ...segmentsOf(memory, [0, 10]), byteLength: 11 };
      assert.throws(() => executor.write(file.fd, 0, lying, recorder, 0), { code: 'BAD_REQUEST' });
      for (const position of [-2, 0.5, Number.NaN, 2 ** 53]) {
        const fine = segmentsOf(memory, [0, 1]);
        assert.throws(() => executor.read(file.fd, position, fine, recorder, 0), { code: 'BAD_REQUEST' });
      }
      assert.equal(executor.pending, 0);
    },
  },
];
