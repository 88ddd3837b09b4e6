import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type ByteSource,
  bytesSource,
  KernelImageError,
  kernelArchitecture,
  type LoadOptions,
  loadKernel,
} from '../src/index.ts';
import { FlatMemory, image, PROGRAM, RISCV, Workshop, zboot } from './fixtures.ts';

const RAM = 0x8000_0000;
const riscv64: LoadOptions = { architecture: 'riscv64', ramBase: RAM };
const load = (file: Uint8Array, memory = new FlatMemory(), options = riscv64) =>
  loadKernel(bytesSource(file), memory, options);
const refused = async (file: Uint8Array, options: LoadOptions = riscv64, memory = new FlatMemory()) => {
  try {
    await load(file, memory, options);
  } catch (error) {
    if (error instanceof KernelImageError) return error;
    throw error;
  }
  throw new Error('it was loaded');
};

let shop: Workshop;
let elf: Buffer;
let flat: Buffer;
let entry: number;
let raw: Buffer;
let gz: Buffer;
let zst: Buffer;
let xz: Buffer;
let lz4: Buffer;

beforeAll(() => {
  shop = new Workshop();
  shop.elf(`${RISCV}gcc`, image('RSC\\005'));
  raw = shop.flat(`${RISCV}objcopy`);
  for (const [program, ...options] of [['gzip', '-n'], ['zstd', '-q'], ['xz']]) {
    shop.run(program ?? '', ...options, '-k', 'flat');
  }
  [gz, zst, xz] = [shop.read('flat.gz'), shop.read('flat.zst'), shop.read('flat.xz')];
  // As the kernel's build makes Image.lz4.
  shop.run('lz4', '-lq9', 'flat', 'flat.lz4');
  lz4 = shop.read('flat.lz4');
  elf = shop.elf(`${RISCV}gcc`, PROGRAM, '-Wl,-Ttext=0x80100000');
  flat = shop.flat(`${RISCV}objcopy`);
  entry = shop.symbol(`${RISCV}nm`, '_start');
});
afterAll(() => shop[Symbol.dispose]());

describe('ELF', () => {
  test('is in memory as objcopy flattens it, and zeroed behind', async () => {
    const memory = new FlatMemory();
    const kernel = await load(elf, memory);
    expect(kernel).toMatchObject({ format: 'elf64', compression: [], entry });
    const bss = kernel.end - 9000;
    expect(Buffer.from(memory.at(RAM + 0x10_0000, 64))).toEqual(flat.subarray(0, 64));
    const dataStart = flat.indexOf(0x77);
    expect(Buffer.from(memory.at(RAM + 0x10_0000 + dataStart, 5000))).toEqual(
      flat.subarray(dataStart, dataStart + 5000),
    );
    expect(memory.at(bss, 9000).every((byte) => byte === 0)).toBe(true);
    expect(memory.at(kernel.end, 1)[0]).toBe(0xa5);
    expect(memory.at(kernel.start - 1, 1)[0]).toBe(0xa5);
  });

  test('with virtual addresses of the upper half is entered at the physical one', async () => {
    const script = `
      ENTRY(_start)
      PHDRS { all PT_LOAD; }
      SECTIONS {
        . = 0xffffffff80000000;
        .text : AT(0x200000) { *(.text) } :all
        .data : { *(.data) *(.bss) }
        /DISCARD/ : { *(*) }
      }`;
    shop.write('script.ld', script);
    const kernel = shop.elf(`${RISCV}gcc`, PROGRAM, '-mcmodel=medany', '-Wl,-Tscript.ld');
    const memory = new FlatMemory();
    expect(await load(kernel, memory, { ...riscv64, elfOffset: RAM })).toMatchObject({
      start: RAM + 0x20_0000,
      entry: RAM + 0x20_0000 + 64,
    });
    expect([...memory.at(RAM + 0x20_0000 + 64, 5)]).toEqual([1, 0, 0, 0, 2]);
    expect(await refused(kernel)).toMatchObject({ code: 'OUTSIDE_MEMORY' });
  });

  describe('for x86', () => {
    const note = `
      .section .note.Xen, "a", @note
      .long 4, 4, 18
      .asciz "Xen"
      .long _start
    `;
    const options: LoadOptions = { architecture: 'x86_64', ramBase: 0 };

    test.each([
      ['elf64', 62, []],
      ['elf32', 3, ['-march=rv32i', '-mabi=ilp32']],
    ] as const)('%s has a PVH entry', async (format, machine, flags) => {
      const kernel = shop.elf(`${RISCV}gcc`, PROGRAM + note, '-Wl,-Ttext-segment=0x100000', ...flags);
      // The tool chain is not for x86, but nothing of the file besides this says so.
      kernel.writeUInt16LE(machine, 18);
      const start = shop.symbol(`${RISCV}nm`, '_start');
      const memory = new FlatMemory(0);
      const loaded = await load(kernel, memory, options);
      expect(loaded).toMatchObject({ format, entry: start, pvhEntry: start });
      expect([...memory.at(start, 5)]).toEqual([1, 0, 0, 0, 2]);
      expect((await refused(kernel)).message).toMatch(/is for (x86_64|i386) .* this machine is riscv64/);
    });
  });

  test('that is an object file, or for no boot at all, is refused', async () => {
    shop.write('source.S', PROGRAM);
    shop.run(`${RISCV}gcc`, '-c', '-o', 'object', 'source.S');
    expect(await refused(shop.read('object'))).toMatchObject({ code: 'NOT_A_KERNEL' });
    const elsewhere = shop.elf(`${RISCV}gcc`, PROGRAM, '-Wl,-Ttext=0x10000');
    expect(await refused(elsewhere)).toMatchObject({ code: 'OUTSIDE_MEMORY' });
  });
});

describe('Image', () => {
  test('goes to its offset, with the memory it asks for', async () => {
    const memory = new FlatMemory();
    const start = RAM + 0x20_0000;
    const kernel = await load(raw, memory);
    expect(kernel).toEqual({ format: 'image', compression: [], start, entry: start, end: start + 0x1_0000 });
    expect(Buffer.from(memory.at(start, raw.length))).toEqual(raw);
    expect(memory.at(start + raw.length, 0x1_0000 - raw.length).every((byte) => byte === 0)).toBe(true);
    expect(memory.at(kernel.end, 1)[0]).toBe(0xa5);
  });

  test('for arm64 too, and of the time when it had no size', async () => {
    const arm64: LoadOptions = { architecture: 'aarch64', ramBase: RAM };
    for (const [size, start] of [
      [0x8000, RAM],
      [0, RAM + 0x8_0000],
    ] as const) {
      shop.elf(`${RISCV}gcc`, image('ARM\\144', { textOffset: 0, size }));
      const kernel = shop.flat(`${RISCV}objcopy`);
      expect(await load(kernel, new FlatMemory(), arm64)).toMatchObject({
        start,
        entry: start,
        end: start + Math.max(size, kernel.length),
      });
      expect((await refused(kernel)).message).toMatch(/Image for aarch64; this machine is riscv64/);
    }
  });

  test.each([
    ['a big-endian one', { flags: 1 }, RAM, 'WRONG_ARCHITECTURE'],
    ['one larger than memory', { size: 0x40_0000 }, RAM, 'OUTSIDE_MEMORY'],
    ['one of no sane size', { size: -1 }, RAM, 'OUTSIDE_MEMORY'],
    ['one placed nowhere', { textOffset: -4096 }, RAM, 'OUTSIDE_MEMORY'],
    ['a misaligned place', {}, RAM + 4096, 'MISALIGNED'],
  ] as const)('%s is refused', async (_, fields, ramBase, code) => {
    shop.elf(`${RISCV}gcc`, image('RSC\\005', fields));
    const kernel = shop.flat(`${RISCV}objcopy`);
    expect(await refused(kernel, { ...riscv64, ramBase })).toMatchObject({ code });
  });
});

describe('compression', () => {
  test('by the ordinary tools, alone and in EFI zboot images', async () => {
    const cases: [string[], Uint8Array][] = [
      [['gzip'], gz],
      [['zstd'], zst],
      [['lz4'], lz4],
      [['gzip'], zboot('gzip', gz)],
      [['zstd'], zboot('zstd22', zst)],
      [['lz4'], zboot('lz4', lz4)],
    ];
    for (const [compression, file] of cases) {
      const memory = new FlatMemory();
      expect(await load(file, memory)).toMatchObject({ format: 'image', compression });
      expect(Buffer.from(memory.at(RAM + 0x20_0000, raw.length))).toEqual(raw);
    }
    shop.write('outer', zboot('zstd', zst));
    shop.run('gzip', 'outer');
    expect(await load(shop.read('outer.gz'))).toMatchObject({ compression: ['gzip', 'zstd'] });
  });

  test('a kernel of many chunks arrives whole', async () => {
    const big = Buffer.concat([
      raw,
      Buffer.from(Uint32Array.from({ length: 300_000 }, (_, i) => i * i).buffer),
    ]);
    shop.write('big', big);
    shop.run('gzip', '-1', 'big');
    const memory = new FlatMemory();
    await load(shop.read('big.gz'), memory);
    expect(Buffer.from(memory.at(RAM + 0x20_0000, big.length)).equals(big)).toBe(true);
  });

  test('by other tools is named, and can be had from the caller', async () => {
    expect(await refused(xz)).toMatchObject({
      code: 'UNSUPPORTED_COMPRESSION',
      message: expect.stringContaining('xz'),
    });
    for (const name of ['lzma', 'constructor']) {
      expect(await refused(zboot(name, gz))).toMatchObject({ code: 'UNSUPPORTED_COMPRESSION' });
    }
    async function* unpack() {
      yield raw.subarray(0, 70);
      yield raw.subarray(70);
    }
    const options = { ...riscv64, decompressors: { zstd: unpack } };
    expect(await load(zst, new FlatMemory(), options)).toMatchObject({ compression: ['zstd'] });
  });

  test('that is damaged, cut, endless or around itself is refused', async () => {
    const damaged = Uint8Array.from(gz, (byte, index) => (index === gz.length - 6 ? byte ^ 1 : byte));
    expect(await refused(damaged)).toMatchObject({ code: 'DECOMPRESSION_FAILED', cause: expect.any(Error) });
    expect(await refused(gz.subarray(0, -20))).toMatchObject({ code: 'DECOMPRESSION_FAILED' });
    expect(await refused(lz4.subarray(0, -5))).toMatchObject({ code: 'DECOMPRESSION_FAILED' });
    expect(await refused(zst.subarray(0, -5))).toMatchObject({ code: 'DECOMPRESSION_FAILED' });
    expect(await refused(zboot('gzip', gz).subarray(0, 4100))).toMatchObject({ code: 'TRUNCATED' });
    shop.write('bomb', new Uint8Array(16 << 20));
    shop.run('gzip', '-9', 'bomb');
    shop.run('gzip', '-dk', 'bomb.gz');
    shop.run('lz4', '-q', 'bomb', 'bomb.lz4');
    for (const bomb of ['bomb.gz', 'bomb.lz4']) {
      expect(await refused(shop.read(bomb), { ...riscv64, maxUnpackedSize: 1 << 20 })).toMatchObject({
        code: 'TOO_LARGE',
      });
    }
    let layers: Uint8Array = raw;
    for (let i = 0; i < 4; i++) {
      shop.write('layer', layers);
      shop.run('gzip', '-f', 'layer');
      layers = shop.read('layer.gz');
    }
    expect(await refused(layers)).toMatchObject({ code: 'NOT_A_KERNEL' });
  });
});

test('the architecture is known without loading it', async () => {
  for (const file of [elf, raw, gz, zst, lz4, zboot('gzip', gz)]) {
    expect(await kernelArchitecture(bytesSource(file))).toBe('riscv64');
  }
  const mips = Uint8Array.from(elf, (byte, index) => (index === 18 ? 8 : byte));
  await expect(kernelArchitecture(bytesSource(mips))).rejects.toMatchObject({
    code: 'WRONG_ARCHITECTURE',
    message: expect.stringContaining('MIPS'),
  });
  await expect(kernelArchitecture(bytesSource(new Uint8Array(100)))).rejects.toMatchObject({
    code: 'NOT_A_KERNEL',
  });
});

describe('everything else', () => {
  test.each([0, 1, 63, 64, 5000])('%d zeros are no kernel', async (length) => {
    expect(await refused(new Uint8Array(length))).toMatchObject({ code: 'NOT_A_KERNEL' });
  });

  test('a source that ends before its size is noticed', async () => {
    const lying: ByteSource = { ...bytesSource(raw), size: raw.length + 1000 };
    await expect(loadKernel(lying, new FlatMemory(), riscv64)).rejects.toMatchObject({ code: 'TRUNCATED' });
  });

  test('a source may be asynchronous and give a byte at a time', async () => {
    const whole = bytesSource(gz);
    const slow: ByteSource = {
      size: whole.size,
      read: async (offset, into) => whole.read(offset, into.subarray(0, 1)),
    };
    expect(await loadKernel(slow, new FlatMemory(), riscv64)).toMatchObject({ format: 'image' });
  });
});
