import type { FdtNode } from '@tsvmm/fdt';
import { type AddressRange, hex } from '../address-allocator.ts';
import type { PciInterrupt, PciPlacement } from '../board.ts';
import type { WiredInterrupts } from './wired-interrupts.ts';

/** Flags in the first cell of a PCI address (IEEE 1275 PCI binding, section 2.2.1.1). */
const MEMORY_32 = 0x0200_0000;
const MEMORY_64_PREFETCHABLE = 0x4300_0000;
/** The bits of the first cell that tell functions apart, and of the pin. */
const FUNCTION_MASK = 0xff00;
const PIN_MASK = 7;

/**
 * The PCI host bridge (Linux, Documentation/devicetree/bindings/pci/host-generic-pci.yaml), with bus 0 and one behind each
 * root port. The board adds where message-signalled interrupts go.
 */
export function addPciHost(
  parent: FdtNode,
  { configuration, lowWindow, highWindow, rootPorts }: PciPlacement,
  pins: readonly PciInterrupt[],
  interrupts: WiredInterrupts,
): FdtNode {
  const pci = parent
    .node(`pci@${configuration.address.toString(16)}`)
    .string('compatible', `pci-host-${configuration.kind}-generic`)
    .string('device_type', 'pci')
    .u64('reg', configuration.address, configuration.size)
    .u32('bus-range', 0, rootPorts)
    .u32('#address-cells', 3)
    .u32('#size-cells', 2)
    .empty('dma-coherent')
    .u32('linux,pci-probe-only', 1)
    .u32('ranges', ...range(MEMORY_32, lowWindow), ...range(MEMORY_64_PREFETCHABLE, highWindow));
  if (pins.length > 0) addInterruptMap(pci, pins, interrupts);
  return pci;
}

/** An entry of `ranges` with PCI and CPU addresses equal. */
function range(flags: number, window: AddressRange): number[] {
  const start = words(window.start);
  return [flags, ...start, ...start, ...words(window.end - window.start)];
}

/** A row for each pin: device and function as the first cell of a PCI address has them, pin, controller, source. */
function addInterruptMap(
  pci: FdtNode,
  pins: readonly PciInterrupt[],
  { controller, addressCells, levelHigh }: WiredInterrupts,
): void {
  const rows = pins.flatMap(({ device, function: fn, pin, source }) => [
    ...[(device << 11) | (fn << 8), 0, 0, pin],
    ...[controller, ...new Array<number>(addressCells).fill(0), ...levelHigh(source)],
  ]);
  pci
    .u32('#interrupt-cells', 1)
    .u32('interrupt-map-mask', FUNCTION_MASK, 0, 0, PIN_MASK)
    .cells('interrupt-map', ...rows);
}

function words(value: number): [number, number] {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${hex(value)} is not an address`);
  }
  return [Math.floor(value / 2 ** 32), value % 2 ** 32];
}
