import type { FdtNode } from '@tsvmm/fdt';

/** The controller to which devices are wired, and how its inputs are written in a device tree. */
export interface WiredInterrupts {
  readonly controller: FdtNode;
  /** The controller's `#address-cells`, which an interrupt map fills with zeros. */
  readonly addressCells: number;
  /** The cells for a level-triggered source that is active high: as many as the controller's `#interrupt-cells`. */
  levelHigh(source: number): readonly number[];
}
