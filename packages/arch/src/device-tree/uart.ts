import type { FdtNode } from '@tsvmm/fdt';
import type { SerialPlacement } from '../board.ts';
import type { WiredInterrupts } from './wired-interrupts.ts';

/** Bytes of a 16550A's registers. */
const UART_SIZE = 8;
/** Input clock of a PC's UART: 115,200 baud times 16. */
const UART_CLOCK = 1_843_200;

/** A 16550A (Linux, Documentation/devicetree/bindings/serial/8250.yaml). */
export function addUart(parent: FdtNode, port: SerialPlacement, interrupts: WiredInterrupts): FdtNode {
  return parent
    .node(`serial@${port.address.toString(16)}`)
    .string('compatible', 'ns16550a')
    .u64('reg', port.address, UART_SIZE)
    .u32('clock-frequency', UART_CLOCK)
    .u32('current-speed', 115_200)
    .cells('interrupts-extended', interrupts.controller, ...interrupts.levelHigh(port.source));
}
