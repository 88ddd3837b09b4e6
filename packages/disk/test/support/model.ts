import fc from 'fast-check';
import { expect } from 'vitest';
import type { Disk } from '../../src/index.ts';

/** One step of a random history of a disk. */
export type Step =
  | {
      readonly kind: 'write' | 'read' | 'discard';
      readonly position: number;
      readonly length: number;
      readonly value: number;
    }
  | { readonly kind: 'zero'; readonly position: number; readonly length: number; readonly mayUnmap: boolean }
  | { readonly kind: 'flush' | 'reopen' };

/** Steps on a disk of `size` bytes, most of them small, some aligned to `unit`. */
export function steps(size: number, unit: number, count: number): fc.Arbitrary<readonly Step[]> {
  const range = fc
    .record({
      unit: fc.constantFrom(1, 512, unit),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.oneof(fc.integer({ min: 0, max: 3 * unit }), fc.integer({ min: 0, max: 64 * 1024 })),
    })
    .map(({ unit: to, from, length }) => {
      const position = Math.floor((from * size) / to) * to;
      return { position, length: Math.min(Math.ceil(length / to) * to, size - position) };
    });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(range, fc.integer({ min: 1, max: 255 }))
        .map(([at, value]) => ({ kind: 'write' as const, ...at, value })),
    },
    { weight: 4, arbitrary: range.map((at) => ({ kind: 'read' as const, ...at, value: 0 })) },
    { weight: 2, arbitrary: range.map((at) => ({ kind: 'discard' as const, ...at, value: 0 })) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(range, fc.boolean())
        .map(([at, mayUnmap]) => ({ kind: 'zero' as const, ...at, mayUnmap })),
    },
    { weight: 1, arbitrary: fc.constantFrom({ kind: 'flush' as const }, { kind: 'reopen' as const }) },
  );
  return fc.array(step, { minLength: count, maxLength: count });
}

/** Bytes that differ from place to place. */
export function pattern(position: number, length: number, value: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((position + i) * 7 + value) & 0xff;
  return bytes;
}

/**
 * Lives through a history with a disk and with plain memory. A discarded range is read back, as what it reads as is the
 * disk's choice: zero or what it was.
 * @returns the disk, which may be another one after reopening
 */
export async function live(
  disk: Disk,
  model: Uint8Array,
  history: readonly Step[],
  reopen: (disk: Disk) => Promise<Disk>,
): Promise<Disk> {
  let current = disk;
  for (const step of history) {
    switch (step.kind) {
      case 'write': {
        const bytes = pattern(step.position, step.length, step.value);
        await current.write(step.position, bytes);
        model.set(bytes, step.position);
        break;
      }
      case 'read':
        await expectEqual(current, model, step.position, step.length);
        break;
      case 'zero':
        await current.writeZeroes(step.position, step.length, { mayUnmap: step.mayUnmap });
        model.fill(0, step.position, step.position + step.length);
        break;
      case 'discard': {
        await current.discard(step.position, step.length);
        const bytes = new Uint8Array(step.length);
        await current.read(step.position, bytes);
        for (let i = 0; i < step.length; i++) {
          if (bytes[i] !== 0) expect(bytes[i]).toBe(model[step.position + i]);
        }
        model.set(bytes, step.position);
        break;
      }
      case 'flush':
        await current.flush();
        break;
      case 'reopen':
        current = await reopen(current);
        break;
    }
  }
  return current;
}

export async function expectEqual(
  disk: Disk,
  model: Uint8Array,
  position = 0,
  length = model.length,
): Promise<void> {
  const bytes = new Uint8Array(length);
  await disk.read(position, bytes);
  const expected = model.subarray(position, position + length);
  if (Buffer.compare(bytes, expected) === 0) return;
  const at = bytes.findIndex((byte, i) => byte !== expected[i]);
  expect.fail(`byte ${position + at} is ${bytes[at]}, not ${expected[at]}`);
}
