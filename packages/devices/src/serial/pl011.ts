import { array, atomic, i32, struct, u8, u16 } from '@tsvmm/struct';
import type { BusAccess } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import type { ByteRing } from './byte-ring.ts';
import { Uart, type UartDescriptor } from './uart.ts';

/** Bytes of address space. */
export const PL011_LENGTH = 0x1000;

/** Registers of up to 16 bits, 4 bytes apart: Arm PrimeCell UART (PL011) technical reference manual, table 3-1. */
const UARTDR = 0x00;
const UARTFR = 0x18;
const UARTILPR = 0x20;
const UARTIBRD = 0x24;
const UARTFBRD = 0x28;
const UARTLCR_H = 0x2c;
const UARTCR = 0x30;
const UARTIFLS = 0x34;
const UARTIMSC = 0x38;
const UARTRIS = 0x3c;
const UARTMIS = 0x40;
const UARTICR = 0x44;
const UARTDMACR = 0x48;
/** UARTPeriphID0 to 3 and UARTPCellID0 to 3, a byte each. */
const IDENTIFICATION = 0xfe0;
const IDENTIFICATION_BYTES = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1] as const;

/** UARTFR: the modem's lines, which are always on, and the FIFOs. */
const FR_CTS = 1 << 0;
const FR_DSR = 1 << 1;
const FR_DCD = 1 << 2;
const FR_RXFE = 1 << 4;
const FR_RXFF = 1 << 6;
const FR_TXFE = 1 << 7;

/** UARTLCR_H: the FIFOs are enabled. */
const LCR_H_FEN = 1 << 4;
/** UARTCR after reset: receiver and transmitter enabled, the UART itself not. */
const CR_RESET = 0x0300;
/** UARTIFLS after reset: both FIFOs at a half. */
const IFLS_RESET = 0x12;

/** Interrupts, as the bits of UARTIMSC, UARTRIS, UARTMIS and UARTICR. */
const RX = 1 << 4;
const TX = 1 << 5;
const RECEIVE_TIMEOUT = 1 << 6;
const INTERRUPTS = 0x07ff;

/** Depth of the FIFOs, which is 1 while they are disabled. */
const FIFO_DEPTH = 32;
/** Bytes in the receive FIFO at which RX is raised, by bits 5 to 3 of UARTIFLS: eighths 1, 2, 4, 6 and 7. */
const RECEIVE_LEVELS = [4, 8, 16, 24, 28] as const;

/**
 * How often UARTFR may say "nothing received" after a driver cleared the receive interrupts while they are masked. Linux
 * then reads until the FIFO is empty, to throw away what came before the port was opened; here that is input which was
 * piped in early.
 */
const RECEIVE_PAUSE = 64;

const registers = struct(
  {
    lock: atomic(i32),
    ilpr: u8,
    fbrd: u8,
    ibrd: u16,
    lcrH: u8,
    ifls: u8,
    control: u16,
    mask: u16,
    dmaControl: u8,
    /** The TX interrupt is pending: set when a byte has left, until UARTICR clears it. */
    transmitted: u8,
    /** See {@link RECEIVE_PAUSE}: counts down with reads of UARTFR. */
    receivePause: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
    reserved: array(u8, 2),
  },
  { name: 'pl011', version: 1 },
);

/** A PL011 as plain data: what another thread needs to attach its registers. */
export interface Pl011Descriptor extends UartDescriptor {
  readonly kind: 'pl011';
  /** Input of the interrupt controller. */
  readonly interrupt: number;
}

/** Makes a UART in its reset state. */
export function describePl011(options: {
  readonly output: ByteRing;
  readonly input?: ByteRing;
  readonly interrupt: number;
}): Pl011Descriptor {
  const state = new SharedArrayBuffer(registers.size);
  const reset = registers.attach(state);
  reset.control = CR_RESET;
  reset.ifls = IFLS_RESET;
  const { output, input, interrupt } = options;
  return { kind: 'pl011', state, output: output.state, input: input?.state, interrupt };
}

/**
 * Arm's UART PL011: what its manual has but baud rate, parity, DMA and loopback, which change nothing here. As with
 * `Uart16550`, bytes leave at once, and received ones stay in the input ring until the guest reads them. It transmits
 * whether UARTCR enables it or not: early consoles of kernels count on firmware to have done that.
 */
export class Pl011 extends Uart {
  readonly #registers;

  constructor(descriptor: Pl011Descriptor, line: InterruptLine) {
    const state = registers.attach(descriptor.state);
    super(state, descriptor, line);
    this.#registers = state;
  }

  read(access: BusAccess): void {
    // Nothing is between the registers.
    access.low = access.offset % 4 === 0 ? this.readRegister(access.offset) : 0;
    access.high = 0;
  }

  write({ offset, low }: BusAccess): void {
    if (offset % 4 === 0) this.writeRegister(offset, low & 0xffff);
  }

  protected load(register: number): number {
    const r = this.#registers;
    switch (register) {
      case UARTDR:
        return this.#received() === 0 ? 0 : (this.input?.shift() ?? 0);
      case UARTFR: {
        if (r.receivePause > 0) r.receivePause--;
        const received = this.#received();
        const depth = (r.lcrH & LCR_H_FEN) !== 0 ? FIFO_DEPTH : 1;
        const receiver = (received === 0 ? FR_RXFE : 0) | (received >= depth ? FR_RXFF : 0);
        return FR_CTS | FR_DSR | FR_DCD | FR_TXFE | receiver;
      }
      case UARTILPR:
        return r.ilpr;
      case UARTIBRD:
        return r.ibrd;
      case UARTFBRD:
        return r.fbrd;
      case UARTLCR_H:
        return r.lcrH;
      case UARTCR:
        return r.control;
      case UARTIFLS:
        return r.ifls;
      case UARTIMSC:
        return r.mask;
      case UARTRIS:
        return this.#pending();
      case UARTMIS:
        return this.#pending() & r.mask;
      case UARTDMACR:
        return r.dmaControl;
      default:
        return IDENTIFICATION_BYTES[(register - IDENTIFICATION) / 4] ?? 0;
    }
  }

  protected store(register: number, value: number): boolean {
    const r = this.#registers;
    switch (register) {
      case UARTDR:
        if (!this.output.push(value & 0xff)) return false;
        r.transmitted = 1;
        break;
      case UARTILPR:
        r.ilpr = value & 0xff;
        break;
      case UARTIBRD:
        r.ibrd = value;
        break;
      case UARTFBRD:
        r.fbrd = value & 0x3f;
        break;
      case UARTLCR_H:
        r.lcrH = value & 0xff;
        break;
      case UARTCR:
        r.control = value;
        break;
      case UARTIFLS:
        r.ifls = value & 0x3f;
        break;
      case UARTIMSC:
        r.mask = value & INTERRUPTS;
        if ((r.mask & (RX | RECEIVE_TIMEOUT)) !== 0) r.receivePause = 0;
        break;
      case UARTICR:
        if ((value & TX) !== 0) r.transmitted = 0;
        if ((value & RX) !== 0 && (r.mask & (RX | RECEIVE_TIMEOUT)) === 0) r.receivePause = RECEIVE_PAUSE;
        break;
      case UARTDMACR:
        r.dmaControl = value & 7;
        break;
      default:
        // UARTECR clears errors of reception, of which there are none; the others are for reading.
        break;
    }
    return true;
  }

  #received(): number {
    return this.#registers.receivePause > 0 ? 0 : (this.input?.available ?? 0);
  }

  /**
   * UARTRIS. Those of the receiver last for as long as there is something to read, even if UARTICR clears them; below the
   * trigger level the chip waits some bits' time for more, and here there is nothing to wait for.
   */
  #pending(): number {
    const r = this.#registers;
    const received = this.#received();
    const level = (r.lcrH & LCR_H_FEN) !== 0 ? (RECEIVE_LEVELS[(r.ifls >>> 3) & 7] ?? FIFO_DEPTH) : 1;
    const receiver = received === 0 ? 0 : received >= level ? RX : RECEIVE_TIMEOUT;
    return receiver | (r.transmitted !== 0 ? TX : 0);
  }

  protected interrupts(): boolean {
    return (this.#pending() & this.#registers.mask) !== 0;
  }
}
