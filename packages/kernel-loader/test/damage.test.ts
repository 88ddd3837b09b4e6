import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSource, KernelImageError, type LoadOptions, loadKernel } from '../src/index.ts';
import { bzImage, FlatMemory, image, multiboot, PROGRAM, RISCV, Workshop, zboot } from './fixtures.ts';

const riscv64: LoadOptions = { architecture: 'riscv64', ramBase: 0x8000_0000, maxUnpackedSize: 1 << 20 };
const x86: LoadOptions = { architecture: 'x86_64', ramBase: 0 };
const LOAD = 0x10_0000;

function kernels(): [string, Uint8Array, LoadOptions][] {
  using shop = new Workshop();
  const elf = shop.elf(`${RISCV}gcc`, PROGRAM, '-Wl,-Ttext=0x80100000');
  shop.elf(`${RISCV}gcc`, image('RSC\\005'));
  const raw = shop.flat(`${RISCV}objcopy`);
  shop.run('gzip', '-n', 'flat');
  const gz = shop.read('flat.gz');
  return [
    ['ELF', elf, riscv64],
    ['Image', raw, riscv64],
    ['gzip', gz, riscv64],
    ['zboot', zboot('gzip', gz), riscv64],
    ['bzImage', bzImage(), x86],
    ['Multiboot kernel', multiboot(0x1_0003, [LOAD + 64, LOAD, LOAD + 2048, LOAD + 8192, LOAD]), x86],
  ];
}

/** Values that arithmetic goes wrong with, and any others. */
const value = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 4096n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const changes = fc.array(
  fc.tuple(fc.oneof(fc.nat(127), fc.integer({ min: 0x1f0, max: 0x26f })), fc.constantFrom(1, 2, 4, 8), value),
  {
    minLength: 1,
    maxLength: 3,
  },
);

test.each(kernels())('a damaged %s is loaded inside of memory or refused', async (_, good, options) => {
  await fc.assert(
    fc.asyncProperty(changes, fc.nat(good.length), fc.boolean(), async (changes, length, cut) => {
      const file = new Uint8Array(good);
      const data = new DataView(file.buffer);
      for (const [place, width, value] of changes) {
        const at = Math.min(place, file.length - 8);
        if (width === 1) data.setUint8(at, Number(value & 0xffn));
        else if (width === 2) data.setUint16(at, Number(value & 0xffffn), true);
        else if (width === 4) data.setUint32(at, Number(value & 0xffff_ffffn), true);
        else data.setBigUint64(at, value, true);
      }
      const memory = new FlatMemory(options.ramBase);
      try {
        const kernel = await loadKernel(bytesSource(cut ? file.subarray(0, length) : file), memory, options);
        expect(memory.contains(kernel.start, kernel.end - kernel.start)).toBe(true);
        expect(kernel.entry >= kernel.start && kernel.entry < kernel.end).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(KernelImageError);
      }
    }),
    { numRuns: 400 },
  );
});
