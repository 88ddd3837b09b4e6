import { randomSeeds } from '@tsvmm/arch';
import { toBytes } from '@tsvmm/fdt';
import type { Riscv64Platform } from '@tsvmm/hypervisor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtcSource } from '../../../tools/dtc.ts';
import { type DeviceTreeOptions, machineDeviceTree } from '../src/device-tree.ts';
import { Riscv64Board } from '../src/riscv64-board.ts';

const MIB = 2 ** 20;

const PLATFORM: Riscv64Platform = {
  architecture: 'riscv64',
  timebaseFrequency: 10_000_000,
  isaExtensions: ['i', 'm', 'a', 'f', 'd', 'c', 'zicsr', 'ssaia'],
  mmuType: 'sv48',
};

function deviceTreeOf(options: Partial<DeviceTreeOptions> = {}) {
  const { ramSize = 512 * MIB, vcpuCount = 1 } = options;
  const board = new Riscv64Board({ ramSize, vcpuCount, addressBits: 56 });
  return machineDeviceTree({
    platform: PLATFORM,
    vcpuCount,
    ramSize,
    commandLine: 'console=ttyS0',
    initrd: { start: 0x8400_0000, end: 0x8400_1000 },
    serialPorts: board.serialPorts,
    standardOutput: 0,
    pci: board.pci,
    pciInterrupts: [
      { device: 1, function: 0, pin: 1, source: 5 },
      { device: 2, function: 0, pin: 1, source: 6 },
    ],
    seeds: randomSeeds(),
    ...options,
  });
}

describe('the device tree', () => {
  it('is accepted by dtc without a warning, whatever the machine is like', () => {
    const platforms = fc.record({
      architecture: fc.constant('riscv64' as const),
      timebaseFrequency: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      isaExtensions: fc.subarray(['i', 'm', 'a', 'f', 'd', 'c', 'v', 'zicsr', 'zicbom', 'svpbmt', 'ssaia']),
      mmuType: fc.constantFrom('sv39' as const, 'sv48' as const, 'sv57' as const),
      cbomBlockSize: fc.constantFrom(32, 64),
      cbozBlockSize: fc.constantFrom(32, 64),
    });
    const options = fc.record({
      platform: platforms,
      vcpuCount: fc.integer({ min: 1, max: 64 }),
      ramSize: fc.integer({ min: 32, max: 2 ** 18 }).map((mib) => mib * MIB),
      initrd: fc.option(fc.constant({ start: 0x8400_0000, end: 0x8400_1000 }), { nil: undefined }),
      standardOutput: fc.option(fc.nat(3), { nil: undefined }),
      pciInterrupts: fc
        .uniqueArray(fc.integer({ min: 1, max: 31 }))
        .map((devices) =>
          devices.map((device) => ({ device, function: 0, pin: 1, source: 5 + (device % 4) })),
        ),
    });
    fc.assert(
      fc.property(options, (options) => {
        const source = dtcSource(toBytes(deviceTreeOf(options), { maxSize: 2 * MIB }));
        expect(source.match(/riscv,cpu-intc/g)).toHaveLength(options.vcpuCount);
        expect(source).toContain('riscv,num-ids = <0xff>');
      }),
      { numRuns: 60 },
    );
  });

  it('tells of the harts what the hypervisor does', () => {
    const platform: Riscv64Platform = {
      ...PLATFORM,
      isaExtensions: ['i', 'm', 'a', 'zicbom', 'ssaia'],
      mmuType: 'sv57',
      timebaseFrequency: 12_345,
      cbomBlockSize: 64,
    };
    const tree = deviceTreeOf({ platform, vcpuCount: 2 });
    expect(tree.find('/cpus')?.getU32s('timebase-frequency')).toEqual([12_345]);
    const hart = tree.find('/cpus/cpu@1');
    expect(hart?.getStrings('riscv,isa-extensions')).toEqual(platform.isaExtensions);
    expect(hart?.getStrings('riscv,isa')).toEqual(['rv64ima_zicbom_ssaia']);
    expect(hart?.getStrings('mmu-type')).toEqual(['riscv,sv57']);
    expect(hart?.getU32s('riscv,cbom-block-size')).toEqual([64]);
    expect(hart?.properties.has('riscv,cboz-block-size')).toBe(false);
  });

  it('wires serial ports and the pins of PCI functions to the APLIC', () => {
    const tree = deviceTreeOf();
    const aplic = tree.find('/soc/interrupt-controller@4000')?.phandle;
    expect(tree.find('/soc/serial@3f8')?.getU32s('interrupts-extended')).toEqual([aplic, 1, 4]);
    expect(tree.find('/soc/pci@10000')?.getU32s('interrupt-map')).toEqual([
      ...[0x800, 0, 0, 1, aplic, 5, 4],
      ...[0x1000, 0, 0, 1, aplic, 6, 4],
    ]);
    expect(tree.find('/chosen')?.getStrings('stdout-path')).toEqual(['/soc/serial@3f8']);
  });
});
