import type { FdtNode } from '@tsvmm/fdt';
import type { SerialPlacement } from '../board.ts';
import type { WiredInterrupts } from './wired-interrupts.ts';

/** Bytes of a 16550A's registers. */
const UART16550_SIZE = 8;
/** Input clock of a PC's UART: 115,200 baud times 16. */
const UART16550_CLOCK = 1_843_200;

/** Bytes of a PL011's registers. */
const PL011_SIZE = 0x1000;
/** Clocks of the UART and of its bus, in Hz: drivers ask for them, and nothing depends on it. */
const PL011_CLOCK = 24_000_000;

/** Adds a UART. */
export function addUart(parent: FdtNode, port: SerialPlacement, interrupts: WiredInterrupts): FdtNode {
  const uart = port.kind === 'pl011' ? addPl011(parent, port) : addUart16550(parent, port);
  return uart.cells('interrupts-extended', interrupts.controller, ...interrupts.levelHigh(port.source));
}

/** Linux, Documentation/devicetree/bindings/serial/8250.yaml. */
function addUart16550(parent: FdtNode, { address }: SerialPlacement): FdtNode {
  return parent
    .node(`serial@${address.toString(16)}`)
    .string('compatible', 'ns16550a')
    .u64('reg', address, UART16550_SIZE)
    .u32('clock-frequency', UART16550_CLOCK)
    .u32('current-speed', 115_200);
}

/** Linux, Documentation/devicetree/bindings/serial/pl011.yaml. */
function addPl011(parent: FdtNode, { address }: SerialPlacement): FdtNode {
  const clock = parent
    .node(`uart-clock-${address.toString(16)}`)
    .string('compatible', 'fixed-clock')
    .u32('#clock-cells', 0)
    .u32('clock-frequency', PL011_CLOCK);
  return parent
    .node(`serial@${address.toString(16)}`)
    .string('compatible', 'arm,pl011', 'arm,primecell')
    .u64('reg', address, PL011_SIZE)
    .cells('clocks', clock, clock)
    .string('clock-names', 'uartclk', 'apb_pclk');
}
