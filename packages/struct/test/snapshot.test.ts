import fc from 'fast-check';
import { expect, test } from 'vitest';
import { array, atomic, StructError, struct, u8, u16, u32 } from '../src/index.ts';

const V1 = struct({ a: u16, flags: atomic(u32), rest: array(u8, 5) }, { name: 'serial', version: 1 });

test('restore writes back what snapshot copied, between buffers of any kind', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: V1.size, maxLength: V1.size }), (content) => {
      const from = new SharedArrayBuffer(V1.size + 8);
      new Uint8Array(from, 8).set(content);
      const to = new ArrayBuffer(V1.size);
      const snapshot = V1.snapshot(from, 8);
      const shared = new Uint8Array(new SharedArrayBuffer(snapshot.length));
      shared.set(snapshot);
      V1.restore(shared, to);
      expect(new Uint8Array(to)).toEqual(content);
    }),
  );
});

test('a snapshot of another name, version or definition is refused and changes nothing', () => {
  const buffer = new ArrayBuffer(V1.size);
  new Uint8Array(buffer).fill(7);
  const others = {
    WRONG_NAME: struct({ a: u16, flags: u32, rest: array(u8, 5) }, { name: 'uart', version: 1 }),
    WRONG_VERSION: struct({ a: u16, flags: u32, rest: array(u8, 5) }, { name: 'serial', version: 2 }),
    WRONG_LAYOUT: struct({ a: u32, flags: u32, rest: array(u8, 5) }, { name: 'serial', version: 1 }),
  };
  for (const [code, layout] of Object.entries(others)) {
    const snapshot = layout.snapshot(new ArrayBuffer(layout.size));
    expect(() => V1.restore(snapshot, buffer)).toThrow(expect.objectContaining({ code }));
  }
  expect(new Uint8Array(buffer).every((byte) => byte === 7)).toBe(true);
});

test('making a field atomic does not change its bytes, so snapshots stay good', () => {
  const plain = struct({ a: u16, flags: u32, rest: array(u8, 5) }, { name: 'serial', version: 1 });
  V1.restore(plain.snapshot(new ArrayBuffer(plain.size)), new ArrayBuffer(V1.size));
});

test('damaged snapshots are refused or restore whole structures, never anything else', () => {
  const good = V1.snapshot(new ArrayBuffer(V1.size));
  fc.assert(
    fc.property(
      fc.nat(good.length),
      fc.nat(good.length - 1),
      fc.integer({ min: 1, max: 255 }),
      (length, at, bits) => {
        const damaged = good.slice(0, length);
        damaged[at] = (damaged[at] ?? 0) ^ bits;
        try {
          V1.restore(damaged, new ArrayBuffer(V1.size));
        } catch (error) {
          expect(error).toBeInstanceOf(StructError);
          return;
        }
        expect(length).toBe(good.length);
      },
    ),
  );
});
