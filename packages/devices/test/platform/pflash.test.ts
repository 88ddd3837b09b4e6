import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { Pflash, PflashFile } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

// Intel's command set, as in the StrataFlash data sheets (table "command bus operations").
const [PROGRAM, BLOCK_ERASE, CLEAR_STATUS, READ_STATUS, CONFIRM, READ_ARRAY] = [
  0x10, 0x20, 0x50, 0x70, 0xd0, 0xff,
];
const READY = 0x80;
const SIZE = 16_384;
const BLOCK = 4096;

const directory = mkdtempSync(join(tmpdir(), 'pflash-'));
afterAll(() => rmSync(directory, { recursive: true }));
let images = 0;

function image(contents: Uint8Array): string {
  images += 1;
  const path = join(directory, `${images}.fd`);
  writeFileSync(path, contents);
  return path;
}

function machine(contents: Uint8Array = new Uint8Array(SIZE).fill(0x5a)) {
  const path = image(contents);
  const file = PflashFile.open(path, BLOCK);
  const attach = () => registersOf(new Pflash(structuredClone(file.descriptor)));
  return {
    ...attach(),
    attach,
    file,
    contents: () => readFileSync(path),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

test('it reads as memory, at any width, up to its end', () => {
  const contents = Uint8Array.from({ length: SIZE }, (_, index) => index & 0xff);
  using flash = machine(contents);
  expect(flash.read(0x10, 1)).toBe(0x10);
  expect(flash.read(0x10, 4)).toBe(0x1312_1110);
  expect(flash.read(SIZE - 4, 4)).toBe(0xfffe_fdfc);
});

test('firmware tells it from RAM and ROM', () => {
  using flash = machine();
  flash.write(0, CLEAR_STATUS);
  flash.write(0, READ_STATUS);
  // Neither what was there nor what was written.
  expect(flash.read(0)).toBe(0);
  flash.write(0, READ_ARRAY);
  expect(flash.read(0)).toBe(0x5a);
  flash.write(0, READ_STATUS);
  expect(flash.read(0, 2)).toBe(READY | (READY << 8));
});

test('programming clears bits, erasing a block sets them, and both are kept in the file', () => {
  using flash = machine();
  flash.write(5000, PROGRAM);
  flash.write(5000, 0x0f);
  expect(flash.read(5000)).toBe(READY);
  flash.write(0, READ_ARRAY);
  expect([flash.read(4999), flash.read(5000), flash.read(5001)]).toEqual([0x5a, 0x0a, 0x5a]);
  expect(flash.contents()[5000]).toBe(0x0a);

  flash.write(5000, BLOCK_ERASE);
  flash.write(5000, CONFIRM);
  expect(flash.read(0)).toBe(READY);
  flash.write(0, READ_ARRAY);
  const expected = new Uint8Array(SIZE).fill(0x5a).fill(0xff, BLOCK, 2 * BLOCK);
  expect(flash.contents()).toEqual(Buffer.from(expected));
  expect([flash.read(4095), flash.read(4096), flash.read(8191), flash.read(8192)]).toEqual([
    0x5a, 0xff, 0xff, 0x5a,
  ]);
});

test('an erase that is not confirmed for its block does nothing but say so', () => {
  for (const [offset, command] of [
    [0, READ_ARRAY],
    [BLOCK, CONFIRM],
  ] as const) {
    using flash = machine();
    flash.write(0, BLOCK_ERASE);
    flash.write(offset, command);
    expect(flash.read(0)).toBe(READY | 0x30);
    expect(flash.contents()).toEqual(Buffer.alloc(SIZE, 0x5a));
  }
});

test('all threads see the same chip', () => {
  using flash = machine();
  const other = flash.attach();
  flash.write(7, PROGRAM);
  other.write(7, 0x00);
  flash.write(0, READ_ARRAY);
  expect([flash.read(7), other.read(7)]).toEqual([0, 0]);
});

test('a file that fails is seen in the status', () => {
  using original = machine();
  const file = openSync('/dev/full', 'w');
  using _file = { [Symbol.dispose]: () => closeSync(file) };
  const flash = registersOf(new Pflash({ ...original.file.descriptor, file }));
  flash.write(0, PROGRAM);
  flash.write(0, 0);
  expect(flash.read(0)).toBe(READY | 0x10);
  flash.write(0, READ_ARRAY);
  flash.write(0, BLOCK_ERASE);
  flash.write(0, CONFIRM);
  expect(flash.read(0)).toBe(READY | 0x20);
});

test('what is no flash image is refused', () => {
  const refused = (code: string) => expect.objectContaining({ name: 'DeviceError', code });
  const path = image(new Uint8Array(SIZE + 1));
  expect(() => PflashFile.open(path)).toThrow(refused('BAD_OPTION'));
  expect(() => PflashFile.open(path, 3)).toThrow(refused('BAD_OPTION'));
  expect(() => PflashFile.open(image(new Uint8Array()))).toThrow(refused('BAD_OPTION'));
  expect(() => PflashFile.open(join(directory, 'missing'))).toThrow(refused('BACKEND_FAILED'));
});

test('whatever a guest writes, the file has what the chip has, and its size', () => {
  const access = fc.record({
    offset: fc.nat(SIZE - 8),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: fc.oneof(
      fc.constantFrom(PROGRAM, BLOCK_ERASE, CLEAR_STATUS, READ_STATUS, CONFIRM, READ_ARRAY),
      fc.nat(0xffff_ffff),
    ),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 40 }), (accesses) => {
      using flash = machine();
      for (const { offset, size, value } of accesses) flash.write(offset, value, size);
      expect(flash.contents()).toEqual(Buffer.from(new Uint8Array(flash.file.descriptor.contents)));
    }),
    { numRuns: 30 },
  );
});
