import type { BootOptions } from '@tsvmm/arch';
import { attachBus, createBusAccess, type DeviceEnvironment, describeBus } from '@tsvmm/devices';
import { parseFdt } from '@tsvmm/fdt';
import type { Aarch64Platform } from '@tsvmm/hypervisor';
import { bytesSource } from '@tsvmm/kernel-loader';
import { GuestMemory } from '@tsvmm/vm-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtcSource } from '../../../tools/dtc.ts';
import { Aarch64Board } from '../src/aarch64-board.ts';
import { FDT_MAXIMUM, FIRMWARE_MAP, KERNEL_MAP } from '../src/layout.ts';

const MIB = 2 ** 20;
const RAM_START = KERNEL_MAP.ramStart;
const TEXT_OFFSET = 0x1_0000;
const IMAGE_SIZE = 3 * MIB;

const PLATFORM: Aarch64Platform = {
  architecture: 'aarch64',
  gicVersion: 3,
  hasIts: true,
  psci: { major: 1, minor: 1 },
  psciConduit: 'hvc',
  hasEl2: false,
  affinities: [0],
};

/** An Image that asks for 3 MiB (Linux, Documentation/arch/arm64/booting.rst). */
function image(): Uint8Array {
  const bytes = new Uint8Array(4096).fill(0x5a, 64);
  const header = new DataView(bytes.buffer);
  header.setBigUint64(8, BigInt(TEXT_OFFSET), true);
  header.setBigUint64(16, BigInt(IMAGE_SIZE), true);
  header.setUint32(56, 0x644d_5241, true);
  return bytes;
}

async function boot(ramSize: number, options: Partial<BootOptions> = {}) {
  const board = new Aarch64Board({ ramSize, vcpuCount: 1, addressBits: 40 });
  const memory = GuestMemory.create({ regions: [{ base: RAM_START, size: ramSize }] });
  const registers = await board.boot(memory, {
    image: { kind: 'kernel', source: bytesSource(image()), initrd: undefined },
    parameters: ['panic=-1'],
    standardOutput: 0,
    pciInterrupts: [],
    platform: PLATFORM,
    ...options,
  });
  const address = Number(registers.x0);
  const tree = parseFdt(memory.bytes(address, FDT_MAXIMUM));
  return { memory, registers, address, tree };
}

describe('a kernel', () => {
  it('is entered at its first byte in EL1 with interrupts masked, and the device tree in x0', async () => {
    const { memory, registers, address, tree } = await boot(64 * MIB);
    expect(registers).toEqual({
      pc: BigInt(RAM_START + TEXT_OFFSET),
      x0: BigInt(address),
      pstate: 0x3c5n,
    });
    expect(memory.bytes(RAM_START + TEXT_OFFSET + 64, 4)).toEqual(new Uint8Array(4).fill(0x5a));
    expect(address).toBe(RAM_START + 62 * MIB);
    expect(tree.find('/chosen')?.getStrings('bootargs')).toEqual(['panic=-1']);
    expect(tree.find('/config')?.getU32s('kernel-address')).toEqual([RAM_START + TEXT_OFFSET]);
    const el2 = await boot(64 * MIB, { platform: { ...PLATFORM, hasEl2: true, psciConduit: 'smc' } });
    expect(el2.registers).toMatchObject({ pstate: 0x3c9n });
  });

  it('has its initrd behind it, on a boundary of 16 MiB', async () => {
    const initrd = new Uint8Array(5000).fill(0x77);
    const { memory, tree } = await boot(64 * MIB, {
      image: { kind: 'kernel', source: bytesSource(image()), initrd: bytesSource(initrd) },
    });
    const start = RAM_START + 16 * MIB;
    expect(tree.find('/chosen')?.getU64s('linux,initrd-start')).toEqual([BigInt(start)]);
    expect(tree.find('/chosen')?.getU64s('linux,initrd-end')).toEqual([BigInt(start + initrd.length)]);
    expect(memory.bytes(start, initrd.length)).toEqual(initrd);
  });

  it('has seeds of its own at each start', async () => {
    const seeds = async () => {
      const chosen = (await boot(64 * MIB)).tree.find('/chosen');
      return [chosen?.properties.get('kaslr-seed'), chosen?.properties.get('rng-seed')];
    };
    const [first, second] = [await seeds(), await seeds()];
    expect(first.map((seed) => seed?.length)).toEqual([8, 256]);
    expect(first[0]).not.toEqual(second[0]);
    expect(first[1]).not.toEqual(second[1]);
  });

  it.each([
    ['an initrd that does not fit', 32, 17 * MIB, 'raise --mem, or use a smaller --initrd'],
    ['an initrd that reaches where the device tree goes', 32, 15 * MIB, 'no room for the device tree'],
  ])('is refused with %s', async (_, mib, size, message) => {
    const initrd = bytesSource(new Uint8Array(size));
    const starting = boot(mib * MIB, { image: { kind: 'kernel', source: bytesSource(image()), initrd } });
    await expect(starting).rejects.toMatchObject({
      code: 'MEMORY_TOO_SMALL',
      message: expect.stringContaining(message),
    });
  });

  it('takes 2,047 characters of command line, and no more', async () => {
    const { tree } = await boot(64 * MIB, { parameters: ['x'.repeat(2047)] });
    expect(tree.find('/chosen')?.getStrings('bootargs')?.[0]).toHaveLength(2047);
    await expect(boot(64 * MIB, { parameters: ['x'.repeat(2048)] })).rejects.toMatchObject({
      code: 'COMMAND_LINE',
    });
  });
});

describe('firmware', () => {
  const options = { ramSize: 64 * MIB, vcpuCount: 2, addressBits: 40 };

  async function start(firmware: Uint8Array) {
    const board = new Aarch64Board({ ...options, firmwareSize: firmware.length });
    const regions = board.vm.ram.map(({ guestAddress, size }) => ({ base: guestAddress, size }));
    const memory = GuestMemory.create({ regions });
    const registers = await board.boot(memory, {
      image: { kind: 'firmware', source: bytesSource(firmware) },
      parameters: [],
      standardOutput: 0,
      pciInterrupts: [],
      platform: { ...PLATFORM, affinities: [0, 1] },
    });
    return { board, memory, registers };
  }

  it('starts at address 0, with the device tree at the start of RAM at 1 GiB', async () => {
    const firmware = new Uint8Array(100_000).fill(0xf1);
    const { board, memory, registers } = await start(firmware);
    expect(registers).toMatchObject({ pc: 0n, x0: 0x4000_0000n });
    expect(memory.bytes(0, firmware.length)).toEqual(firmware);
    expect(board.vm.ram).toEqual([
      { guestAddress: 0, size: 0x2_0000 },
      { guestAddress: 0x400_0000, size: 0x4_0000 },
      { guestAddress: 0x4000_0000, size: 64 * MIB },
    ]);
    const source = dtcSource(memory.bytes(0x4000_0000, MIB));
    expect(source).toContain('arm,pl011');
    expect(source).toMatch(/stdout-path = "\/serial@9000000"/);
  });

  it("finds things where QEMU's virt machine has them", () => {
    // As `qemu-system-aarch64 -M virt,gic-version=3 -smp 2 -machine dumpdtb=virt.dtb` and dtc show them.
    const { vm, pci, serialPorts } = new Aarch64Board({ ...options, firmwareSize: MIB });
    expect(serialPorts).toMatchObject([{ kind: 'pl011', address: 0x900_0000 }]);
    expect(vm.gic).toMatchObject({ distributorAddress: 0x800_0000, redistributorAddress: 0x80a_0000 });
    expect(vm.gic).toMatchObject({ itsAddress: 0x808_0000 });
    expect(pci.lowWindow).toEqual({ start: 0x1000_0000, end: 0x3eff_0000 });
    expect(pci.highWindow).toEqual({ start: 0x80_0000_0000, end: 2 ** 40 });
    expect(FIRMWARE_MAP.ramStart).toBe(0x4000_0000);
  });

  it('has flash memory of two chips behind it, in the place of memory', () => {
    const of = (flashSize: number) => new Aarch64Board({ ...options, firmwareSize: MIB, flashSize });
    const { flash, vm } = of(64 * MIB);
    expect(flash).toEqual({ address: 0x400_0000, blockSize: 256 * 1024, bankWidth: 4 });
    expect(vm.ram.map(({ guestAddress }) => guestAddress)).toEqual([0, 0x4000_0000]);
    expect(() => of(65 * MIB)).toThrow(expect.objectContaining({ code: 'MEMORY_TOO_SMALL' }));
  });

  it.each([{ flashSize: MIB }, { fwCfgFiles: [] }])('is what there has to be for %o', (more) => {
    expect(() => new Aarch64Board({ ...options, ...more })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('without --bios') }),
    );
  });

  it('has room for 123 vCPUs, and no more', () => {
    const of = (vcpuCount: number) => new Aarch64Board({ ...options, vcpuCount, firmwareSize: MIB });
    expect(of(123).vm.vcpuCount).toBe(123);
    expect(() => of(124)).toThrow(expect.objectContaining({ code: 'OVERLAP' }));
  });

  it.each([
    ['nothing', 0],
    ['more than 64 MiB', 64 * MIB + 1],
  ])('is refused when it is %s', (_, firmwareSize) => {
    expect(() => new Aarch64Board({ ...options, firmwareSize })).toThrow(
      expect.objectContaining({ code: 'MEMORY_TOO_SMALL', message: expect.stringContaining('firmware') }),
    );
  });

  it('is refused by a machine that was made for a kernel', async () => {
    const image = { kind: 'firmware', source: bytesSource(new Uint8Array(4096)) } as const;
    await expect(boot(64 * MIB, { image })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('the clock', () => {
  const options = { ramSize: 64 * MIB, vcpuCount: 1, addressBits: 40 };
  const environment: DeviceEnvironment = {
    interrupts: { msi: { send() {} }, line: () => ({ set() {} }) },
  };
  const onFailure = (error: unknown) => {
    throw error;
  };

  it('counts the seconds since 1970, where the guest looks for it', async () => {
    using devices = new Aarch64Board(options).createPlatformDevices(environment, onFailure);
    const { tree } = await boot(64 * MIB);
    const [address] = tree.find('/rtc@2000')?.getU64s('reg') ?? [];
    const bus = attachBus(describeBus(devices.mmio), environment);
    const access = createBusAccess();
    access.size = 4;
    const before = Math.floor(Date.now() / 1000);
    bus.read(Number(address), access);
    expect(access.low).toBeGreaterThanOrEqual(before);
    expect(access.low).toBeLessThanOrEqual(Math.floor(Date.now() / 1000));
    // What the guest is told it is, it says itself.
    const id = [0xfe0, 0xfe4, 0xfe8, 0xfec].map((register) => {
      bus.read(Number(address) + register, access);
      return access.low;
    });
    const [expected = 0] = tree.find('/rtc@2000')?.getU32s('arm,primecell-periphid') ?? [];
    expect(id).toEqual([0, 8, 16, 24].map((shift) => (expected >>> shift) & 0xff));
  });

  it('is not there when it is left out', () => {
    const board = new Aarch64Board({ ...options, platform: { rtc: false } });
    using devices = board.createPlatformDevices(environment, onFailure);
    expect(devices.mmio).toEqual([]);
  });
});

describe('the layout', () => {
  const options = { ramSize: 64 * MIB, vcpuCount: 1, addressBits: 40 };

  it('has 64-bit BARs behind RAM and 1 GiB for platform devices, up to the last address', () => {
    const { highWindow } = new Aarch64Board(options).pci;
    expect(highWindow).toEqual({ start: RAM_START + 64 * MIB + 2 ** 30, end: 2 ** 40 });
    expect(() => new Aarch64Board({ ...options, ramSize: 2 ** 40, addressBits: 40 })).toThrow(
      expect.objectContaining({ code: 'NO_ADDRESS_SPACE' }),
    );
  });

  it.each([
    ['configuration space on the clock', { configuration: { start: 0x2000, end: 0x100_2000 } }, 'OVERLAP'],
    [
      'configuration space in RAM',
      { configuration: { start: 0x8000_0000, end: 0x8100_0000 } },
      'NO_ADDRESS_SPACE',
    ],
    [
      'configuration space of another size',
      { configuration: { start: 0x500_0000, end: 0x510_0000 } },
      'UNSUPPORTED',
    ],
    ['memory on the interrupt controller', { memory: { start: 0x3000_0000, end: 0x4000_0000 } }, 'OVERLAP'],
  ])('refuses %s', (_, pci, code) => {
    expect(() => new Aarch64Board({ ...options, pci })).toThrow(expect.objectContaining({ code }));
  });

  it('takes PCI elsewhere, and tells the guest', async () => {
    const pci = {
      configuration: { start: 0x1000_0000, end: 0x1100_0000 },
      memory: { start: 0x2000_0000, end: 0x3000_0000 },
    };
    const board = new Aarch64Board({ ...options, pci });
    expect(board.pci).toMatchObject({
      configuration: { kind: 'cam', address: 0x1000_0000, size: 16 * MIB },
      lowWindow: pci.memory,
    });
  });

  it('has an interrupt translation service unless there is to be none', () => {
    const itsOf = (its?: boolean) =>
      new Aarch64Board({ ...options, ...(its !== undefined && { its }) }).vm.gic;
    expect([itsOf(), itsOf(true)]).toEqual([itsOf(true), itsOf()]);
    expect(itsOf()?.itsAddress).toBe(0x4000_0000);
    expect(itsOf(false)).not.toHaveProperty('itsAddress');
    expect(() => new Aarch64Board({ ...options, splitIrqchip: true })).toThrow(/--irqchip split/);
  });

  it('has no two devices at one address, for any number of vCPUs', () => {
    const counts = fc.integer({ min: 1, max: 254 });
    fc.assert(
      fc.property(counts, (vcpuCount) => {
        const { gic } = new Aarch64Board({ ...options, vcpuCount }).vm;
        expect(gic?.redistributorAddress).toBe(0x3fff_0000 - vcpuCount * 0x2_0000);
      }),
    );
  });

  it('refuses a machine that is not for aarch64', async () => {
    await expect(boot(64 * MIB, { platform: { architecture: 'x86_64' } })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
  });
});
