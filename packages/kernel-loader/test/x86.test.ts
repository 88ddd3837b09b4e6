import { describe, expect, test } from 'vitest';
import {
  bytesSource,
  KernelImageError,
  kernelArchitecture,
  type LoadOptions,
  loadKernel,
} from '../src/index.ts';
import { bzImage, FlatMemory, multiboot } from './fixtures.ts';

const options: LoadOptions = { architecture: 'x86_64', ramBase: 0 };
const load = (file: Uint8Array, memory = new FlatMemory(0)) => loadKernel(bytesSource(file), memory, options);

describe('a bzImage', () => {
  test('is loaded to 2 MiB, behind its setup sectors, and entered in 64-bit mode', async () => {
    const memory = new FlatMemory(0);
    const kernel = await load(bzImage(), memory);
    expect(kernel).toMatchObject({
      format: 'bzimage',
      start: 0x20_0000,
      entry: 0x20_0200,
      // init_size from the preferred address, which is behind the load address.
      end: 0x30_0000,
      linux: { is64Bit: true, commandLineMaximum: 2047, initrdAddressMaximum: Number.MAX_SAFE_INTEGER },
    });
    expect(memory.at(0x20_0000, 4096).every((byte) => byte === 0x66)).toBe(true);
    expect(memory.at(0x20_0000 + 4096, 1)).toEqual(Uint8Array.of(0xa5));
    expect(kernel.linux?.header).toEqual(bzImage().slice(0x1f1, 0x26c));
  });

  test('that has no 64-bit entry, or may not be above 4 GiB, says so', async () => {
    expect(await load(bzImage({ xloadflags: 0 }))).toMatchObject({
      entry: 0x20_0000,
      linux: { is64Bit: false, initrdAddressMaximum: 0x7fff_ffff },
    });
    expect(await load(bzImage({ version: 0x020b }))).toMatchObject({ linux: { is64Bit: false } });
    expect(await load(bzImage({ cmdline_size: 0 }))).toMatchObject({ linux: { commandLineMaximum: 255 } });
  });

  test('that cannot be moved goes to 1 MiB; without setup sectors it has four', async () => {
    expect(await load(bzImage({ relocatable_kernel: 0, pref_address: 0x10_0000 }))).toMatchObject({
      start: 0x10_0000,
      end: 0x18_0000,
    });
    const memory = new FlatMemory(0);
    await load(bzImage({ setup_sects: 0 }), memory);
    expect(memory.at(0x20_0000, 4096).every((byte) => byte === 0x66)).toBe(true);
  });

  test.each([
    ['a zImage', bzImage({ loadflags: 0 }), 'UNSUPPORTED_FORMAT'],
    ['an old protocol', bzImage({ version: 0x0205 }), 'UNSUPPORTED_FORMAT'],
    ['more than the file has', bzImage({ syssize: 0x1000 }), 'TRUNCATED'],
    ['nothing to load', bzImage({ syssize: 0 }), 'NOT_A_KERNEL'],
    ['a header that is too short', bzImage({ jump: 0x10eb }), 'NOT_A_KERNEL'],
    ['a header that is too long', bzImage({ jump: 0xffeb }), 'NOT_A_KERNEL'],
    ['an alignment that is none', bzImage({ kernel_alignment: 3 }), 'NOT_A_KERNEL'],
    ['more memory than there is', bzImage({ init_size: 0x7000_0000 }), 'OUTSIDE_MEMORY'],
    ['a file that ends in the header', bzImage().subarray(0, 0x250), 'TRUNCATED'],
    ['a file that ends behind the header', bzImage().subarray(0, 0x400), 'TRUNCATED'],
  ] as const)('with %s is refused', async (_, file, code) => {
    await expect(load(file)).rejects.toMatchObject({ name: 'KernelImageError', code });
  });

  test('is no kernel for other machines', async () => {
    await expect(
      loadKernel(bytesSource(bzImage()), new FlatMemory(), { architecture: 'riscv64', ramBase: 0x8000_0000 }),
    ).rejects.toMatchObject({ code: 'WRONG_ARCHITECTURE' });
  });
});

describe('a Multiboot kernel', () => {
  const LOAD = 0x10_0000;
  const addresses = (loadEnd = 0, bssEnd = 0, entry = LOAD + 0x100) => [
    LOAD + 64,
    LOAD,
    loadEnd,
    bssEnd,
    entry,
  ];

  test('is loaded by its addresses', async () => {
    const memory = new FlatMemory(0);
    const kernel = await load(multiboot(0x1_0003, addresses(LOAD + 2048, LOAD + 8192)), memory);
    expect(kernel).toEqual({
      format: 'multiboot',
      compression: [],
      isMultiboot: true,
      start: LOAD,
      end: LOAD + 8192,
      entry: LOAD + 0x100,
    });
    expect(memory.at(LOAD, 64).every((byte) => byte === 0x55)).toBe(true);
    expect(memory.at(LOAD + 2048, 6144).every((byte) => byte === 0)).toBe(true);
    expect(await load(multiboot(0x1_0003, addresses()))).toMatchObject({ end: LOAD + 4096 });
  });

  test('comes first, also inside another format', async () => {
    // The first 512 bytes of a bzImage are the old boot sector, where there is room for the header.
    const file = multiboot(0x1_0000, addresses(), bzImage());
    expect(await load(file)).toMatchObject({ format: 'multiboot', isMultiboot: true });
    expect(await kernelArchitecture(bytesSource(file))).toBe('x86_64');
  });

  test.each([
    ['a video mode', multiboot(0x1_0004, addresses()), 'UNSUPPORTED_FORMAT'],
    ['its header outside', multiboot(0x1_0000, [LOAD, LOAD + 64, 0, 0, LOAD]), 'NOT_A_KERNEL'],
    ['its header beyond the file', multiboot(0x1_0000, [LOAD + 4096, LOAD, 0, 0, LOAD]), 'NOT_A_KERNEL'],
    ['more than the file has', multiboot(0x1_0000, addresses(LOAD + 8192)), 'TRUNCATED'],
    ['an entry elsewhere', multiboot(0x1_0000, addresses(0, 0, LOAD - 1)), 'NOT_A_KERNEL'],
    ['zeroed memory before its data', multiboot(0x1_0000, addresses(0, LOAD + 16)), 'NOT_A_KERNEL'],
    ['more memory than there is', multiboot(0x1_0000, addresses(0, 0x7000_0000)), 'OUTSIDE_MEMORY'],
  ] as const)('with %s is refused', async (_, file, code) => {
    await expect(load(file)).rejects.toMatchObject({ name: 'KernelImageError', code });
  });

  test('needs its checksum', async () => {
    const file = multiboot(0x1_0003, addresses());
    file[72] = (file[72] ?? 0) ^ 1;
    await expect(load(file)).rejects.toBeInstanceOf(KernelImageError);
  });
});
