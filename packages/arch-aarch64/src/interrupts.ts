import type { WiredInterrupts } from '@tsvmm/arch';
import type { FdtNode } from '@tsvmm/fdt';

// Cells of an interrupt (Linux, Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml and arm,gic-v3.yaml):
// kind, number within its kind, trigger.

const SPI = 0;
const PPI = 1;

/** Triggers; the GIC itself does not tell high from low. */
export const LEVEL_HIGH = 4;
export const LEVEL_LOW = 8;

/** How the GIC's interrupts are written in the device tree. */
export class GicInterrupts implements WiredInterrupts {
  readonly controller: FdtNode;
  readonly addressCells = 2;
  /** Bits 15:8 of a PPI's trigger in version 2: the CPUs that have it. */
  readonly #cpuMask: number;

  constructor(controller: FdtNode, version: 2 | 3, vcpuCount: number) {
    this.controller = controller;
    this.#cpuMask = version === 2 ? ((1 << vcpuCount) - 1) << 8 : 0;
  }

  readonly levelHigh = (source: number): readonly number[] => [SPI, source, LEVEL_HIGH];

  privatePeripheral(ppi: number, trigger: number): readonly number[] {
    return [PPI, ppi, trigger | this.#cpuMask];
  }
}
