import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { AsyncFile, openExecutor } from '../src/index.ts';
import { availableKinds } from './support/kinds.ts';

const folder = mkdtempSync(join(tmpdir(), 'async-mix-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SIZE = 1 << 18;
const LANES = 8;
const LANE = SIZE / LANES;

/** An operation on a range inside of a lane, so that those of different lanes may run at once. */
const operation = fc.record({
  kind: fc.constantFrom('read', 'write', 'punchHole', 'zeroRange', 'discard', 'sync'),
  lane: fc.nat(LANES - 1),
  start: fc.nat(LANE - 1),
  length: fc.nat(LANE - 1),
  seed: fc.nat(255),
  pieces: fc.integer({ min: 1, max: 100 }),
});

/** `length` bytes of a memory with a gap after each of `pieces`, in the order of the file. */
function cut(length: number, pieces: number) {
  const size = Math.max(1, Math.ceil(length / pieces));
  const pairs: number[] = [];
  for (let done = 0; done < length; done += size) {
    pairs.push(done + pairs.length, Math.min(size, length - done));
  }
  const memory = new Uint8Array(new SharedArrayBuffer(length + pairs.length));
  const segments = {
    memory,
    pairs: Float64Array.from(pairs),
    count: pairs.length / 2,
    byteLength: length,
  };
  const each = (visit: (at: number, size: number, done: number) => void) => {
    let done = 0;
    for (let i = 0; i < pairs.length; i += 2) {
      visit(pairs[i] ?? 0, pairs[i + 1] ?? 0, done);
      done += pairs[i + 1] ?? 0;
    }
  };
  return { segments, memory, each };
}

describe.for([...(await availableKinds())])('%s', (kind) => {
  test('a file is what the same operations make of an array, in any mix and however many at once', async () => {
    const path = join(folder, kind);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(operation, { maxLength: 40 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 8 }),
        async (batches, capacity) => {
          const model = new Uint8Array(SIZE).map((_, i) => i * 7);
          writeFileSync(path, model);
          const fd = openSync(path, 'r+');
          try {
            await using executor = openExecutor({ kind, capacity, threads: 3 }).executor;
            const file = new AsyncFile(executor, fd, path);
            for (const batch of batches) {
              // One chain of operations for each lane; the lanes compete for the slots.
              const lanes = Array.from({ length: LANES }, (_, lane) =>
                batch.filter((op) => op.lane === lane),
              );
              await Promise.all(lanes.map((ops) => runLane(file, ops, model)));
            }
          } finally {
            closeSync(fd);
          }
          expect(Buffer.compare(readFileSync(path), model)).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });
});

async function runLane(
  file: AsyncFile,
  operations: readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[],
  model: Uint8Array,
): Promise<void> {
  for (const { kind, lane, start, length: wanted, seed, pieces } of operations) {
    const position = lane * LANE + start;
    const length = Math.min(wanted, LANE - start);
    switch (kind) {
      case 'read': {
        const { segments, memory, each } = cut(length, pieces);
        expect(await file.read(position, segments)).toBe(length);
        each((at, size, done) => {
          const expected = model.subarray(position + done, position + done + size);
          expect(Buffer.compare(memory.subarray(at, at + size), expected)).toBe(0);
        });
        break;
      }
      case 'write': {
        const { segments, memory, each } = cut(length, pieces);
        each((at, size, done) => {
          for (let i = 0; i < size; i++) memory[at + i] = model[position + done + i] = (done + i) * 13 + seed;
        });
        await file.write(position, segments);
        break;
      }
      case 'sync':
        await file.sync(seed % 2 === 0);
        break;
      case 'discard':
        await file.discard(position, length);
        model.fill(0, position, position + length);
        break;
      default:
        await file.allocate(kind, position, length);
        model.fill(0, position, position + length);
    }
  }
}
