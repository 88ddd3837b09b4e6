import { randomSeeds } from '@tsvmm/arch';
import { type DeviceTree, toBytes } from '@tsvmm/fdt';
import type { Aarch64Platform } from '@tsvmm/hypervisor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtcSource } from '../../../tools/dtc.ts';
import { Aarch64Board } from '../src/aarch64-board.ts';
import { type DeviceTreeOptions, machineDeviceTree } from '../src/device-tree.ts';
import { FIRMWARE_MAP, FLASH_CHIPS, KERNEL_MAP } from '../src/layout.ts';

const MIB = 2 ** 20;

const PLATFORM: Aarch64Platform = {
  architecture: 'aarch64',
  gicVersion: 3,
  hasIts: true,
  psci: { major: 1, minor: 1 },
  psciConduit: 'hvc',
  pmuInterrupt: 23,
  hasEl2: false,
  affinities: [0, 1],
};

function deviceTreeOf(platform: Aarch64Platform, options: Partial<DeviceTreeOptions> = {}): DeviceTree {
  const { ramSize = 512 * MIB } = options;
  const vcpuCount = platform.affinities.length;
  const board = new Aarch64Board({ ramSize, vcpuCount, addressBits: 40 });
  return machineDeviceTree({
    map: KERNEL_MAP,
    platform,
    ramSize,
    commandLine: 'console=ttyS0',
    image: { start: 0x8000_0000, end: 0x8200_0000 },
    initrd: { start: 0x8400_0000, end: 0x8400_1000 },
    standardOutput: 0,
    pci: board.pci,
    pciInterrupts: [{ device: 1, function: 0, pin: 1, source: 4 }],
    rtc: true,
    flash: undefined,
    seeds: randomSeeds(),
    ...options,
  });
}

/** How Linux packs the affinity fields: 16 vCPUs to a cluster, as KVM numbers them. */
const affinity = (id: number) => (id % 16) + ((id >> 4) << 8);

const platforms: fc.Arbitrary<Aarch64Platform> = fc
  .record({
    vcpuCount: fc.integer({ min: 1, max: 200 }),
    gicVersion: fc.constantFrom(2, 3),
    hasIts: fc.boolean(),
    hasEl2: fc.boolean(),
    hasPmu: fc.boolean(),
    psci: fc.constantFrom({ major: 0, minor: 2 }, { major: 1, minor: 0 }, { major: 1, minor: 3 }),
    aff3: fc.boolean(),
  })
  .map(({ vcpuCount, gicVersion, hasIts, hasEl2, hasPmu, psci, aff3 }) => {
    const isV2 = gicVersion === 2;
    const count = isV2 ? Math.min(vcpuCount, 8) : vcpuCount;
    return {
      architecture: 'aarch64',
      gicVersion,
      hasIts: hasIts && !isV2,
      hasEl2: hasEl2 && !isV2,
      psci,
      psciConduit: hasEl2 ? 'smc' : 'hvc',
      ...(hasPmu && { pmuInterrupt: 23 }),
      affinities: Array.from({ length: count }, (_, id) => affinity(id) + (aff3 ? 2 ** 32 : 0)),
    };
  });

describe('the device tree', () => {
  it('is accepted by dtc without a warning, whatever the machine is like', () => {
    const interrupts = fc.uniqueArray(fc.integer({ min: 1, max: 31 }), { maxLength: 28 });
    const options = fc.record({
      ramSize: fc.integer({ min: 32, max: 2 ** 18 }).map((mib) => mib * MIB),
      initrd: fc.option(fc.constant({ start: 0x8400_0000, end: 0x8400_1000 }), { nil: undefined }),
      standardOutput: fc.constantFrom(0, undefined),
      rtc: fc.boolean(),
      flash: fc.option(fc.constant({ placement: { address: 0x400_0000, ...FLASH_CHIPS }, size: 64 * MIB }), {
        nil: undefined,
      }),
      map: fc.constantFrom(KERNEL_MAP, FIRMWARE_MAP),
      pciInterrupts: interrupts.map((devices) =>
        devices.map((device, index) => ({ device, function: 0, pin: 1 + (index % 4), source: 4 + index })),
      ),
    });
    fc.assert(
      fc.property(platforms, options, (platform, options) => {
        const tree = deviceTreeOf(platform, options);
        const source = dtcSource(toBytes(tree, { maxSize: 2 * MIB }));
        expect(source.match(/enable-method = "psci"/g)).toHaveLength(platform.affinities.length);
        expect(source.includes('arm,gic-v3-its')).toBe(platform.hasIts);
        expect(source.includes(`arm,${options.map.rtc.part}`)).toBe(options.rtc);
        expect(source.includes('cfi-flash')).toBe(options.flash !== undefined);
        expect(source.includes('qemu,fw-cfg-mmio')).toBe(options.map === FIRMWARE_MAP);
      }),
      { numRuns: 60 },
    );
  });

  it('has the interrupt controller where crosvm has it', () => {
    const v3 = deviceTreeOf(PLATFORM).find('/interrupt-controller@3fff0000');
    expect(v3?.getStrings('compatible')).toEqual(['arm,gic-v3']);
    expect(v3?.getU64s('reg')).toEqual([0x3fff_0000n, 0x1_0000n, 0x3ffb_0000n, 0x4_0000n]);
    expect(v3?.children.get('msi-controller@40000000')?.getU64s('reg')).toEqual([0x4000_0000n, 0x2_0000n]);
    const v2 = deviceTreeOf({ ...PLATFORM, gicVersion: 2, hasIts: false }).find(
      '/interrupt-controller@3fff0000',
    );
    expect(v2?.getStrings('compatible')).toEqual(['arm,cortex-a15-gic']);
    expect(v2?.getU64s('reg')).toEqual([0x3fff_0000n, 0x1_0000n, 0x3ffd_0000n, 0x2_0000n]);
  });

  it('sends MSIs to the ITS by requester id, and has none without it', () => {
    const tree = deviceTreeOf(PLATFORM);
    const its = tree.find('/interrupt-controller@3fff0000/msi-controller@40000000');
    expect(tree.find('/pci@10000')?.getU32s('msi-map')).toEqual([0, its?.phandle, 0, 0x1_0000]);
    const without = deviceTreeOf({ ...PLATFORM, hasIts: false });
    expect(without.find('/pci@10000')?.properties.has('msi-map')).toBe(false);
  });

  it('routes the pins of PCI functions to shared peripheral interrupts', () => {
    const tree = deviceTreeOf(PLATFORM, {
      pciInterrupts: [
        { device: 1, function: 0, pin: 1, source: 4 },
        { device: 31, function: 3, pin: 4, source: 31 },
      ],
    });
    const gic = tree.find('/interrupt-controller@3fff0000')?.phandle;
    expect(tree.find('/pci@10000')?.getU32s('interrupt-map')).toEqual([
      ...[0x800, 0, 0, 1, gic, 0, 0, 0, 4, 4],
      ...[0xfb00, 0, 0, 4, gic, 0, 0, 0, 31, 4],
    ]);
  });

  it('names the private interrupts that Arm recommends, to the CPUs of version 2', () => {
    const timer = (platform: Aarch64Platform) => deviceTreeOf(platform).find('/timer')?.getU32s('interrupts');
    expect(timer(PLATFORM)).toEqual([13, 14, 11, 10].flatMap((ppi) => [1, ppi, 8]));
    expect(timer({ ...PLATFORM, gicVersion: 2, hasIts: false })).toEqual(
      [13, 14, 11, 10].flatMap((ppi) => [1, ppi, 0x308]),
    );
    const nested = deviceTreeOf({ ...PLATFORM, hasEl2: true, psciConduit: 'smc' });
    expect(nested.find('/timer')?.getU32s('interrupts')).toEqual(
      [13, 14, 11, 10, 12].flatMap((ppi) => [1, ppi, 8]),
    );
    expect(nested.find('/interrupt-controller@3fff0000')?.getU32s('interrupts')).toEqual([1, 9, 4]);
    expect(nested.find('/psci')?.getStrings('method')).toEqual(['smc']);
    expect(deviceTreeOf(PLATFORM).find('/pmu')?.getU32s('interrupts')).toEqual([1, 7, 4]);
  });
});
