import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  array,
  be16,
  be32,
  be64,
  be64big,
  bytes,
  type Elements,
  i8,
  i16,
  i32,
  i64big,
  StructError,
  struct,
  u8,
  u16,
  u32,
  u64,
  u64big,
  u64split,
} from '../src/index.ts';

const FIELDS = { u8, i8, u16, i16, u32, i32, u64, u64big, i64big, be16, be32, be64, be64big };
const SAFE = Number.MAX_SAFE_INTEGER;

/** What each kind means, said with a DataView. */
const ORACLE: Record<keyof typeof FIELDS, (data: DataView, at: number) => number | bigint> = {
  u8: (data, at) => data.getUint8(at),
  i8: (data, at) => data.getInt8(at),
  u16: (data, at) => data.getUint16(at, true),
  i16: (data, at) => data.getInt16(at, true),
  u32: (data, at) => data.getUint32(at, true),
  i32: (data, at) => data.getInt32(at, true),
  u64: (data, at) => Number(data.getBigUint64(at, true)),
  u64big: (data, at) => data.getBigUint64(at, true),
  i64big: (data, at) => data.getBigInt64(at, true),
  be16: (data, at) => data.getUint16(at),
  be32: (data, at) => data.getUint32(at),
  be64: (data, at) => Number(data.getBigUint64(at)),
  be64big: (data, at) => data.getBigUint64(at),
};

const values = fc.record({
  u8: fc.integer({ min: 0, max: 0xff }),
  i8: fc.integer({ min: -0x80, max: 0x7f }),
  u16: fc.integer({ min: 0, max: 0xffff }),
  i16: fc.integer({ min: -0x8000, max: 0x7fff }),
  u32: fc.integer({ min: 0, max: 0xffff_ffff }),
  i32: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
  u64: fc.integer({ min: 0, max: SAFE }),
  u64big: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  i64big: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  be16: fc.integer({ min: 0, max: 0xffff }),
  be32: fc.integer({ min: 0, max: 0xffff_ffff }),
  be64: fc.integer({ min: 0, max: SAFE }),
  be64big: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

describe.each([false, true])('packed: %s', (packed) => {
  test('what is assigned is what a DataView sees, and what is read', () => {
    const layout = struct(FIELDS, { packed });
    const names = Object.keys(FIELDS) as (keyof typeof FIELDS)[];
    fc.assert(
      fc.property(
        values,
        fc.shuffledSubarray(names, { minLength: names.length }),
        fc.nat(4),
        (value, order, at) => {
          const byteOffset = packed ? at : at * 8;
          const buffer = new SharedArrayBuffer(layout.size + 32);
          const fields = layout.attach(buffer, byteOffset);
          for (const name of order) Object.assign(fields, { [name]: value[name] });
          const data = new DataView(buffer, byteOffset, layout.size);
          for (const name of names) {
            expect(ORACLE[name](data, layout.offsets[name]), name).toBe(value[name]);
            expect(fields[name], name).toBe(value[name]);
          }
        },
      ),
    );
  });
});

test('a fields object assigns in the order of a shuffled definition too', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(Object.entries(FIELDS), { minLength: 1 }), values, (entries, value) => {
      const layout = struct(Object.fromEntries(entries) as typeof FIELDS);
      const fields = layout.attach(new ArrayBuffer(layout.size));
      for (const [name] of entries) Object.assign(fields, { [name]: value[name as keyof typeof FIELDS] });
      for (const [name] of entries) {
        expect(fields[name as keyof typeof FIELDS]).toBe(value[name as keyof typeof FIELDS]);
      }
    }),
  );
});

test('integers keep the low bits of what is assigned', () => {
  const fields = struct({ a: u8, b: i8, c: u16, d: u32 }).attach(new ArrayBuffer(8));
  Object.assign(fields, { a: 0x1ff, b: 0xff, c: -1, d: -1 });
  expect([fields.a, fields.b, fields.c, fields.d]).toEqual([0xff, -1, 0xffff, 0xffff_ffff]);
});

test('64-bit numbers outside 0 to 2^53 - 1 are refused, and have a split and a bigint form', () => {
  const buffer = new ArrayBuffer(8);
  const number = struct({ value: u64 }).attach(buffer);
  const big = struct({ value: u64big }).attach(buffer);
  const split = struct({ value: u64split }).attach(buffer);
  for (const value of [-1, 0.5, SAFE + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => {
      number.value = value;
    }).toThrow(expect.objectContaining({ code: 'NOT_SAFE_INTEGER' }));
  }
  expect(big.value).toBe(0n);
  big.value = 2n ** 53n;
  expect(() => number.value).toThrow(/0x20000000000000/);
  big.value = 0x1_2345_6789_abcd_ef0fn & (2n ** 64n - 1n);
  expect([split.value.hi, split.value.lo]).toEqual([0x2345_6789, 0xabcd_ef0f]);
  split.value.hi = 1;
  expect(number.value).toBe(0x1_abcd_ef0f);
});

test('arrays are typed arrays, elements or views over the same memory', () => {
  const Queue = struct({ size: u16, address: u64 }, { name: 'queue' });
  const Device = struct({
    id: u8,
    words: array(u32, 3),
    rings: array(u64, 2),
    big: array(be32, 2),
    queues: array(Queue, 2),
    matrix: array(array(u16, 2), 2),
    mac: bytes(6),
  });
  const buffer = new SharedArrayBuffer(Device.size * 2);
  const device = Device.attach(buffer, Device.size);
  const again = Device.attach(buffer, Device.size);
  expectTypeOf(device.words).toEqualTypeOf<Uint32Array>();
  expectTypeOf(device.rings).toEqualTypeOf<Elements<number>>();
  expectTypeOf(device.id).toEqualTypeOf<number>();

  device.words.set([1, 2, 3]);
  device.rings.set(1, 2 ** 40);
  device.big.set(0, 0x0102_0304);
  device.mac.set([1, 2, 3, 4, 5, 6]);
  const [, second] = device.queues;
  if (second) second.address = 0x1000;
  device.matrix[1]?.set([7, 8]);

  expect([...again.words]).toEqual([1, 2, 3]);
  expect([...again.rings]).toEqual([0, 2 ** 40]);
  expect(again.queues.map((queue) => queue.address)).toEqual([0, 0x1000]);
  expect(again.matrix.map((row) => [...row])).toEqual([
    [0, 0],
    [7, 8],
  ]);
  expect(new Uint8Array(buffer, Device.size + Device.offsets.big, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
  expect(device.queues).toBe(device.queues);
  expect(() => device.rings.get(2)).toThrow(RangeError);
});

test('views and unknown fields cannot be assigned, by type and at run time', () => {
  const layout = struct({ words: array(u32, 2), inner: struct({ a: u8 }) });
  const fields = layout.attach(new ArrayBuffer(layout.size));
  expect(() => {
    // @ts-expect-error it is read-only
    fields.words = new Uint32Array(2);
  }).toThrow(TypeError);
  // @ts-expect-error there is no such offset
  expect(layout.offsets.nothing).toBeUndefined();
});

test('attach refuses places the structure does not fit', () => {
  const layout = struct({ a: u32, b: u8 }, { name: 'thing' });
  const refused = (code: string) => expect.objectContaining({ name: 'StructError', code });
  for (const at of [-4, 4.5, 8, Number.NaN, 2 ** 60]) {
    expect(() => layout.attach(new ArrayBuffer(12), at)).toThrow(refused('OUT_OF_BOUNDS'));
  }
  expect(() => layout.attach(new ArrayBuffer(12), 2)).toThrow(refused('MISALIGNED'));
  expect(() => layout.attach(new ArrayBuffer(12), 4)).not.toThrow();
});

test('definitions that cannot be are refused', () => {
  const definitions = [
    () => struct({}),
    () => struct({ 1: u8 }),
    () => struct({ $u8: u8 }),
    () => struct({ a: u8 }, { align: 3 }),
    () => struct({ a: u8 }, { align: 0 }),
    () => struct({ a: u8 }, { version: -1 }),
    () => struct({ a: u8, b: array(u32, 2) }, { packed: true }),
    () => array(u8, 0),
    () => array(u8, 1.5),
  ];
  for (const define of definitions) {
    expect(define).toThrow(StructError);
    expect(define).toThrow(expect.objectContaining({ code: 'BAD_DEFINITION' }));
  }
});
