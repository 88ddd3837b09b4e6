import { spawnSync } from 'node:child_process';
import { toBytes } from '@tsvmm/fdt';
import { describe, expect, it } from 'vitest';
import { machineDeviceTree } from '../src/device-tree.ts';
import { Riscv64Board } from '../src/riscv64-board.ts';

function deviceTreeOf(vcpuCount: number): Uint8Array {
  const ramSize = 512 * 2 ** 20;
  const board = new Riscv64Board({ ramSize, vcpuCount, addressBits: 56 });
  return toBytes(
    machineDeviceTree({
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
      kaslrSeed: new Uint8Array(8),
      rngSeed: new Uint8Array(256),
    }),
  );
}

describe('the device tree', () => {
  it.each([1, 2, 8])('is accepted by dtc without a warning, with %i harts', (harts) => {
    const { stdout, stderr, status } = spawnSync('dtc', ['-I', 'dtb', '-O', 'dts', '-'], {
      input: deviceTreeOf(harts),
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout.match(/riscv,cpu-intc/g)).toHaveLength(harts);
    expect(stdout).toContain('stdout-path = "/soc/serial@3f8"');
    expect(stdout).toContain('riscv,num-ids = <0xff>');
  });
});
