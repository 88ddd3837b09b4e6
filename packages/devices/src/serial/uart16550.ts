import { array, atomic, i32, struct, u8, u16 } from '@tsvmm/struct';
import type { BusAccess } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import type { ByteRing } from './byte-ring.ts';
import { Uart, type UartDescriptor } from './uart.ts';

/** Bytes of address space: eight registers, one byte apart (reg-shift 0). */
export const UART16550_LENGTH = 8;

/** Register offsets; DLL and DLM replace RBR/THR and IER while LCR.DLAB is set. */
const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

/** Interrupt Enable Register. */
const IER_RDA = 1 << 0;
const IER_THRE = 1 << 1;
const IER_LINE_STATUS = 1 << 2;
const IER_MODEM_STATUS = 1 << 3;
const IER_MASK = 0x0f;

/** Interrupt Identification Register, in the order of their priority. */
const IIR_LINE_STATUS = 0x06;
const IIR_RDA = 0x04;
const IIR_CHARACTER_TIMEOUT = 0x0c;
const IIR_THRE = 0x02;
const IIR_MODEM_STATUS = 0x00;
const IIR_NONE = 0x01;
const IIR_FIFOS_ENABLED = 0xc0;

/** FIFO Control Register. */
const FCR_ENABLE = 1 << 0;
const FCR_CLEAR_RECEIVER = 1 << 1;
/** Bytes in the receiver FIFO at which RDA is raised, by bits 7…6. */
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

const LCR_DLAB = 1 << 7;

/** Modem Control Register. */
const MCR_DTR = 1 << 0;
const MCR_RTS = 1 << 1;
const MCR_OUT1 = 1 << 2;
const MCR_OUT2 = 1 << 3;
const MCR_LOOP = 1 << 4;
const MCR_MASK = 0x1f;

/** Line Status Register. */
const LSR_DATA_READY = 1 << 0;
const LSR_OVERRUN = 1 << 1;
const LSR_THR_EMPTY = 1 << 5;
const LSR_TRANSMITTER_EMPTY = 1 << 6;

/** Modem Status Register: levels in bits 7…4, which of them changed since the last read in bits 3…0. */
const MSR_CTS = 1 << 4;
const MSR_DSR = 1 << 5;
const MSR_RI = 1 << 6;
const MSR_DCD = 1 << 7;
const MSR_TRAILING_EDGE_RI = 1 << 2;

/** Depth of the FIFOs; 1 while they are disabled. */
const FIFO_DEPTH = 16;

/**
 * How often LSR may say "nothing received" after the receiver was cleared or its interrupt disabled. Drivers read
 * RBR blindly while they start and stop a port; without this pause that would swallow input piped in early.
 */
const RECEIVE_PAUSE = 64;

const registers = struct(
  {
    lock: atomic(i32),
    ier: u8,
    lcr: u8,
    mcr: u8,
    fcr: u8,
    scr: u8,
    dll: u8,
    dlm: u8,
    /** MSR as last seen: levels and deltas. */
    msr: u8,
    /** LSR.OE, until LSR is read. */
    overrun: u8,
    /** The THRE interrupt is pending: set when THR becomes empty, cleared by reading it from IIR. */
    threPending: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
    /** What the transmitter sent to the receiver in loopback mode. */
    loopbackCount: u8,
    loopback: array(u8, FIFO_DEPTH),
    /** See {@link RECEIVE_PAUSE}: counts down with reads of LSR. */
    receivePause: u16,
  },
  { name: 'uart16550', version: 1 },
);

/** A UART as plain data: what another thread needs to attach its registers. */
export interface Uart16550Descriptor extends UartDescriptor {
  readonly kind: 'uart16550';
  /** Number of the interrupt controller's input; undefined for a port that is only polled. */
  readonly interrupt: number | undefined;
  /** State of the wire (`createWiredOrState`) to that input, if other devices drive it too. */
  readonly wire: SharedArrayBuffer | undefined;
}

/** Makes a UART in its reset state. */
export function describeUart16550(options: {
  readonly output: ByteRing;
  readonly input?: ByteRing;
  readonly interrupt?: number;
  readonly wire?: SharedArrayBuffer;
}): Uart16550Descriptor {
  const state = new SharedArrayBuffer(registers.size);
  const reset = registers.attach(state);
  reset.msr = MSR_CTS | MSR_DSR | MSR_DCD;
  // 9600 baud at the usual clock of 1.8432 MHz: what the divisor would hold; the baud rate has no effect.
  reset.dll = 12;
  return {
    kind: 'uart16550',
    state,
    output: options.output.state,
    input: options.input?.state,
    interrupt: options.interrupt,
    wire: options.wire,
  };
}

/** The registers of a 16550A: everything its data sheet has but baud rate and parity, which change nothing here. */
export class Uart16550 extends Uart {
  readonly #registers;

  constructor(descriptor: Uart16550Descriptor, line: InterruptLine) {
    const state = registers.attach(descriptor.state);
    super(state, descriptor, line);
    this.#registers = state;
  }

  // The chip has an 8-bit bus: a wider access is one access a byte, at consecutive registers.
  read(access: BusAccess): void {
    let low = 0;
    let high = 0;
    for (let i = 0; i < access.size; i++) {
      const byte = this.readRegister((access.offset + i) & 7);
      if (i < 4) low |= byte << (8 * i);
      else high |= byte << (8 * (i - 4));
    }
    access.low = low;
    access.high = high;
  }

  write(access: BusAccess): void {
    for (let i = 0; i < access.size; i++) {
      const byte = ((i < 4 ? access.low >>> (8 * i) : access.high >>> (8 * (i - 4))) & 0xff) >>> 0;
      this.writeRegister((access.offset + i) & 7, byte);
    }
  }

  protected load(register: number): number {
    const r = this.#registers;
    switch (register) {
      case RBR_THR_DLL:
        return (r.lcr & LCR_DLAB) !== 0 ? r.dll : this.#receive();
      case IER_DLM:
        return (r.lcr & LCR_DLAB) !== 0 ? r.dlm : r.ier;
      case IIR_FCR: {
        const identification = this.#identifyInterrupt();
        if (identification === IIR_THRE) r.threPending = 0;
        return identification | ((r.fcr & FCR_ENABLE) !== 0 ? IIR_FIFOS_ENABLED : 0);
      }
      case LCR:
        return r.lcr;
      case MCR:
        return r.mcr;
      case LSR: {
        if (r.receivePause > 0) r.receivePause--;
        let status = LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;
        if (this.#received() > 0) status |= LSR_DATA_READY;
        if (r.overrun !== 0) status |= LSR_OVERRUN;
        r.overrun = 0;
        return status;
      }
      case MSR: {
        const status = r.msr;
        r.msr = status & 0xf0;
        return status;
      }
      case SCR:
        return r.scr;
      default:
        return 0;
    }
  }

  protected store(register: number, value: number): boolean {
    const r = this.#registers;
    switch (register) {
      case RBR_THR_DLL:
        if ((r.lcr & LCR_DLAB) !== 0) r.dll = value;
        else if (!this.#transmit(value)) return false;
        break;
      case IER_DLM:
        if ((r.lcr & LCR_DLAB) !== 0) r.dlm = value;
        else this.#enableInterrupts(value & IER_MASK);
        break;
      case IIR_FCR:
        this.#controlFifos(value);
        break;
      case LCR:
        r.lcr = value;
        break;
      case MCR:
        r.mcr = value & MCR_MASK;
        this.#updateModemStatus();
        break;
      case SCR:
        r.scr = value;
        break;
      default:
        // LSR and MSR are for reading; their factory test modes do not exist here.
        break;
    }
    return true;
  }

  /** Bytes that the guest can read now. */
  #received(): number {
    const r = this.#registers;
    if ((r.mcr & MCR_LOOP) !== 0) return r.loopbackCount;
    if (r.receivePause > 0) return 0;
    return this.input?.available ?? 0;
  }

  #receive(): number {
    const r = this.#registers;
    if (this.#received() === 0) return 0;
    if ((r.mcr & MCR_LOOP) === 0) return this.input?.shift() ?? 0;
    const byte = r.loopback[0] ?? 0;
    r.loopback.copyWithin(0, 1, r.loopbackCount);
    r.loopbackCount--;
    return byte;
  }

  #transmit(byte: number): boolean {
    const r = this.#registers;
    if ((r.mcr & MCR_LOOP) !== 0) {
      const depth = (r.fcr & FCR_ENABLE) !== 0 ? FIFO_DEPTH : 1;
      if (r.loopbackCount >= depth) r.overrun = 1;
      else r.loopback[r.loopbackCount++] = byte;
    } else if (!this.output.push(byte)) {
      return false;
    }
    // THR was full for no time at all.
    r.threPending = 1;
    return true;
  }

  #enableInterrupts(ier: number): void {
    const r = this.#registers;
    const changed = r.ier ^ ier;
    if ((changed & ier & IER_THRE) !== 0) r.threPending = 1;
    if ((changed & IER_RDA) !== 0) r.receivePause = (ier & IER_RDA) !== 0 ? 0 : RECEIVE_PAUSE;
    r.ier = ier;
  }

  #controlFifos(value: number): void {
    const r = this.#registers;
    // Changing FIFO mode clears the FIFOs; so does asking for it.
    const clears = ((r.fcr ^ value) & FCR_ENABLE) !== 0 || (value & FCR_CLEAR_RECEIVER) !== 0;
    if (clears) {
      r.loopbackCount = 0;
      if ((r.ier & IER_RDA) === 0) r.receivePause = RECEIVE_PAUSE;
    }
    // The other bits of FCR only count while bit 0 is written as one, and the clear bits clear themselves.
    r.fcr = (value & FCR_ENABLE) !== 0 ? value & 0xc9 : 0;
  }

  /** MSR's levels: the modem's lines are always on; in loopback mode they are what MCR drives. */
  #updateModemStatus(): void {
    const r = this.#registers;
    let levels = MSR_CTS | MSR_DSR | MSR_DCD;
    if ((r.mcr & MCR_LOOP) !== 0) {
      levels = 0;
      if ((r.mcr & MCR_RTS) !== 0) levels |= MSR_CTS;
      if ((r.mcr & MCR_DTR) !== 0) levels |= MSR_DSR;
      if ((r.mcr & MCR_OUT1) !== 0) levels |= MSR_RI;
      if ((r.mcr & MCR_OUT2) !== 0) levels |= MSR_DCD;
    }
    const changed = (levels ^ r.msr) & 0xf0;
    let deltas = (r.msr & 0x0f) | ((changed & ~MSR_RI) >>> 4);
    // RI has no delta bit; its trailing edge has.
    if ((changed & MSR_RI) !== 0 && (levels & MSR_RI) === 0) deltas |= MSR_TRAILING_EDGE_RI;
    r.msr = levels | deltas;
  }

  /** The pending interrupt with the highest priority, as in bits 3…0 of IIR. */
  #identifyInterrupt(): number {
    const r = this.#registers;
    if ((r.ier & IER_LINE_STATUS) !== 0 && r.overrun !== 0) return IIR_LINE_STATUS;
    if ((r.ier & IER_RDA) !== 0) {
      const received = this.#received();
      const fifo = (r.fcr & FCR_ENABLE) !== 0;
      if (received >= (fifo ? (TRIGGER_LEVELS[r.fcr >>> 6] ?? 1) : 1)) return IIR_RDA;
      // Below the trigger level the chip waits four characters' time for more; here there is nothing to wait for.
      if (received > 0) return IIR_CHARACTER_TIMEOUT;
    }
    if ((r.ier & IER_THRE) !== 0 && r.threPending !== 0) return IIR_THRE;
    if ((r.ier & IER_MODEM_STATUS) !== 0 && (r.msr & 0x0f) !== 0) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  protected interrupts(): boolean {
    return this.#identifyInterrupt() !== IIR_NONE;
  }
}
