import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Pflash, PflashFile, type PflashOptions } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

// Intel's command set, as in the StrataFlash data sheets (table "command bus operations").
const [PROGRAM, BLOCK_ERASE, CLEAR_STATUS, READ_STATUS, CONFIRM, READ_ARRAY] = [
  0x10, 0x20, 0x50, 0x70, 0xd0, 0xff,
];
const [LOCK, READ_IDENTIFIER, READ_QUERY, BUFFERED_PROGRAM] = [0x60, 0x90, 0x98, 0xe8];
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

function machine(
  contents: Uint8Array = new Uint8Array(SIZE).fill(0x5a),
  options: PflashOptions = { blockSize: BLOCK, bankWidth: 1 },
) {
  const path = image(contents);
  const file = PflashFile.open(path);
  const descriptor = file.describe(options);
  /** What a hypervisor is asked for: whether the guest reads the contents as memory. */
  const seen: string[] = [];
  const region = { hide: () => seen.push('hide'), show: () => seen.push('show') };
  const attach = () => registersOf(new Pflash(structuredClone(descriptor), region));
  return {
    ...attach(),
    attach,
    descriptor,
    path,
    seen,
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
  const flash = registersOf(new Pflash({ ...original.descriptor, file }));
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
  expect(() => PflashFile.open(image(new Uint8Array(SIZE + 1)))).toThrow(refused('BAD_OPTION'));
  expect(() => PflashFile.open(image(new Uint8Array()))).toThrow(refused('BAD_OPTION'));
  expect(() => PflashFile.open(join(directory, 'missing'))).toThrow(refused('BACKEND_FAILED'));
  const path = image(new Uint8Array(SIZE));
  using file = PflashFile.open(path);
  for (const blockSize of [3, 0, 128, -4096, Number.NaN, 2 * SIZE]) {
    expect(() => file.describe({ blockSize, bankWidth: 1 })).toThrow(refused('BAD_OPTION'));
  }
  // A second machine would write over what the first one wrote.
  expect(() => PflashFile.open(path)).toThrow(refused('BACKEND_FAILED'));
});

test('the guest reads it as memory but while it answers commands', () => {
  using flash = machine();
  const other = flash.attach();
  flash.write(0, CLEAR_STATUS);
  expect(flash.seen).toEqual([]);
  flash.write(0, READ_STATUS);
  flash.write(0, PROGRAM);
  flash.write(0, 0);
  expect(flash.seen).toEqual(['hide']);
  other.write(0, READ_ARRAY);
  flash.write(0, READ_ARRAY);
  expect(flash.seen).toEqual(['hide', 'show']);
});

describe('two chips of 16 bits beside each other', () => {
  const options: PflashOptions = { blockSize: BLOCK, bankWidth: 4 };
  const both = (command: number) => command * 0x1_0001;

  test('tell what they are as the Common Flash Interface has it', () => {
    using flash = machine(undefined, options);
    flash.write(4 * 0x55, both(READ_QUERY), 4);
    const word = (index: number) => flash.read(4 * index, 4);
    // JEDEC JESD68.01, tables 1 to 4: "QRY", Intel's commands; 2^13 bytes a chip, x16, 2^10 bytes of buffer; one region of
    // 4 blocks of 8 times 256 bytes.
    expect([0x10, 0x11, 0x12, 0x13, 0x14].map(word)).toEqual([0x51, 0x52, 0x59, 1, 0].map(both));
    expect([0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c].map(word)).toEqual([13, 1, 0, 10, 0, 1].map(both));
    expect([0x2d, 0x2e, 0x2f, 0x30].map(word)).toEqual([3, 0, 8, 0].map(both));
    // A driver that tries narrower chips does not find them.
    expect([flash.read(0x10), flash.read(0x20, 2)]).toEqual([0, 0]);
    flash.write(0, both(READ_IDENTIFIER), 4);
    expect([word(0), word(1)]).toEqual([0x89, 0x18].map(both));
    // The lock of the second block.
    expect(flash.read(BLOCK + 8, 4)).toBe(0);
  });

  test('program a word in each, and a buffer', () => {
    using flash = machine(new Uint8Array(SIZE).fill(0xff), options);
    flash.write(BLOCK, both(LOCK), 4);
    flash.write(BLOCK, both(CONFIRM), 4);
    flash.write(BLOCK, both(PROGRAM), 4);
    flash.write(BLOCK, 0x0403_0201, 4);
    expect(flash.read(0, 4)).toBe(both(READY));
    flash.write(BLOCK, both(BUFFERED_PROGRAM), 4);
    expect(flash.read(0, 4)).toBe(both(READY));
    // Three words, the last of which is where the one above is.
    flash.write(BLOCK, both(2), 4);
    flash.write(BLOCK + 8, 0x0c0b_0a09, 4);
    flash.write(BLOCK + 12, 0x100f_0e0d, 4);
    flash.write(BLOCK + 4, 0x0807_0605, 4);
    expect(flash.contents().subarray(BLOCK + 4, BLOCK + 16)).toEqual(Buffer.alloc(12, 0xff));
    flash.write(BLOCK, both(CONFIRM), 4);
    expect(flash.read(0, 4)).toBe(both(READY));
    // Before the first word of the buffer nothing is programmed.
    const expected = [1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 9, 10, 11, 12, 13, 14, 15, 16];
    expect([...flash.contents().subarray(BLOCK, BLOCK + 16)]).toEqual(expected);
  });

  test('refuse more than their buffers have room for, and what is not confirmed', () => {
    using flash = machine(undefined, options);
    flash.write(0, both(BUFFERED_PROGRAM), 4);
    flash.write(0, both(512), 4);
    expect(flash.read(0, 4)).toBe(both(READY | 0x30));
    flash.write(0, both(BUFFERED_PROGRAM), 4);
    flash.write(0, both(0), 4);
    flash.write(0, 0, 4);
    flash.write(0, both(READ_ARRAY), 4);
    expect(flash.read(0, 4)).toBe(both(READY | 0x30));
    // Words of two blocks.
    flash.write(0, both(BUFFERED_PROGRAM), 4);
    flash.write(0, both(1), 4);
    flash.write(0, 0, 4);
    flash.write(BLOCK, 0, 4);
    expect(flash.read(0, 4)).toBe(both(READY | 0x30));
    flash.write(0, both(READ_ARRAY), 4);
    expect(flash.contents()).toEqual(Buffer.alloc(SIZE, 0x5a));
  });
});

test('whatever a guest writes, the file has what the chip has, and its size', () => {
  const access = fc.record({
    offset: fc.nat(SIZE - 8),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    value: fc.oneof(
      fc.constantFrom(PROGRAM, BLOCK_ERASE, CLEAR_STATUS, READ_STATUS, CONFIRM, READ_ARRAY, BUFFERED_PROGRAM),
      fc.nat(0xffff_ffff),
    ),
  });
  fc.assert(
    fc.property(
      fc.array(access, { maxLength: 40 }),
      fc.constantFrom(1 as const, 4 as const),
      (accesses, bankWidth) => {
        using flash = machine(undefined, { blockSize: BLOCK, bankWidth });
        for (const { offset, size, value } of accesses) flash.write(offset, value, size);
        const chip = new Uint8Array(flash.descriptor.contents, 0, SIZE);
        expect(flash.contents()).toEqual(Buffer.from(chip));
      },
    ),
    { numRuns: 60 },
  );
});
