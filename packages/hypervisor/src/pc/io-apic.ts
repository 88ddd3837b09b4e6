import { array, struct, u8, u32 } from '@tsvmm/struct';

// Intel 82093AA I/O Advanced Programmable Interrupt Controller, order number 290566; the EOI register is of the I/O APICs
// that chipsets have had since (ICH, version 0x20).

/** Interrupt inputs. */
export const IO_APIC_PINS = 24;
/** Where a PC has it, and how many bytes it answers. */
export const IO_APIC_ADDRESS = 0xfec0_0000;
export const IO_APIC_LENGTH = 0x1000;

/** Registers in memory, by offset. */
const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;

/** Registers that IOREGSEL selects. */
const IOAPICID = 0x00;
const IOAPICVER = 0x01;
const IOAPICARB = 0x02;
const IOREDTBL = 0x10;

const ID_MASK = 0x0f00_0000;
/** With an EOI register, and 24 entries. */
const VERSION = 0x20 | ((IO_APIC_PINS - 1) << 16);

/** Bits of the lower half of a redirection table entry (section 3.2.4). */
const VECTOR = 0xff;
const DELIVERY_MODE = 7 << 8;
const LOGICAL_DESTINATION = 1 << 11;
const REMOTE_IRR = 1 << 14;
const LEVEL_TRIGGERED = 1 << 15;
const MASKED = 1 << 16;
/** Delivery status, which is idle since messages are sent at once, and remote IRR are read-only. */
const WRITABLE = 0x1_afff;

/** Of a message's address and data (Intel SDM 3A, section 11.11). */
const MESSAGE_ADDRESS = 0xfee0_0000;
const MESSAGE_LOGICAL = 1 << 2;
const MESSAGE_ASSERT = 1 << 14;

/** Its registers, in memory that threads share; {@link resetIoApic} gives the state after a reset. */
export const ioApicState = struct(
  {
    id: u32,
    select: u8,
    /** Levels of the inputs, a bit each. */
    inputs: u32,
    entriesLow: array(u32, IO_APIC_PINS),
    entriesHigh: array(u32, IO_APIC_PINS),
  },
  { name: 'io-apic', version: 1 },
);
export type IoApicState = ReturnType<(typeof ioApicState)['attach']>;

/** Puts registers into the state after a reset: every input is masked. */
export function resetIoApic(state: IoApicState): void {
  state.id = 0;
  state.select = 0;
  state.entriesLow.fill(MASKED);
  state.entriesHigh.fill(0);
}

/** What an I/O APIC is connected to. */
export interface IoApicOutputs {
  /** Sends an interrupt message to local APICs. */
  send(addressLow: number, data: number): void;
  /** An input is level-triggered and not masked, with this message, whose end the local APICs are to tell of. */
  expectEnd(pin: number, addressLow: number, data: number): void;
  /** The interrupt of a level-triggered input has been ended; before it is sent again if the input still has its level. */
  ended(pin: number): void;
}

/**
 * An I/O APIC: its inputs become messages to local APICs. Whoever uses one has a lock on the state.
 *
 * An input that is set is asserted, whatever polarity the guest gives it: devices have no wires that could be inverted.
 */
export class IoApic {
  readonly #state: IoApicState;
  readonly #outputs: IoApicOutputs;

  constructor(state: IoApicState, outputs: IoApicOutputs) {
    this.#state = state;
    this.#outputs = outputs;
  }

  /** A load of up to 32 bits from an offset of its page; there is nothing but the registers there. */
  read(offset: number): number {
    switch (offset) {
      case IOREGSEL:
        return this.#state.select;
      case IOWIN:
        return this.#readRegister(this.#state.select);
      default:
        return 0;
    }
  }

  /** A store of up to 32 bits. */
  write(offset: number, value: number): void {
    switch (offset) {
      case IOREGSEL:
        this.#state.select = value;
        break;
      case IOWIN:
        this.#writeRegister(this.#state.select, value);
        break;
      case EOI:
        this.endOfInterrupt(value & VECTOR);
        break;
    }
  }

  setInput(pin: number, level: boolean): void {
    const state = this.#state;
    const bit = 1 << pin;
    const wasHigh = (state.inputs & bit) !== 0;
    state.inputs = level ? state.inputs | bit : state.inputs & ~bit;
    // An edge on a masked input is lost (section 3.2.4, bit 16); a level is looked at again when the mask goes.
    if (level && !(wasHigh && this.#isEdgeTriggered(pin))) this.#deliver(pin);
  }

  /** A local APIC tells of the end of a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    const { entriesLow } = this.#state;
    for (let pin = 0; pin < IO_APIC_PINS; pin++) {
      const entry = entriesLow[pin] ?? MASKED;
      if ((entry & VECTOR) !== vector || (entry & REMOTE_IRR) === 0) continue;
      entriesLow[pin] = entry & ~REMOTE_IRR;
      this.#outputs.ended(pin);
      if (this.#isHigh(pin)) this.#deliver(pin);
    }
  }

  /** Says again what messages have an end, as after the state was restored. */
  expectEnds(): void {
    for (let pin = 0; pin < IO_APIC_PINS; pin++) this.#expectEnd(pin);
  }

  #readRegister(register: number): number {
    const { id, entriesLow, entriesHigh } = this.#state;
    switch (register) {
      case IOAPICID:
      case IOAPICARB:
        return id;
      case IOAPICVER:
        return VERSION;
      default: {
        const half = register - IOREDTBL;
        return ((half & 1) === 0 ? entriesLow[half >> 1] : entriesHigh[half >> 1]) ?? 0;
      }
    }
  }

  #writeRegister(register: number, value: number): void {
    const { entriesLow, entriesHigh } = this.#state;
    if (register === IOAPICID) this.#state.id = value & ID_MASK;
    const half = register - IOREDTBL;
    const pin = half >> 1;
    if (half < 0 || pin >= IO_APIC_PINS) return;
    if ((half & 1) === 0) {
      const kept = (entriesLow[pin] ?? 0) & REMOTE_IRR;
      // Remote IRR means nothing for edges, and Linux clears it by making the input edge-triggered for a moment.
      entriesLow[pin] = (value & WRITABLE) | ((value & LEVEL_TRIGGERED) === 0 ? 0 : kept);
    } else {
      entriesHigh[pin] = value;
    }
    this.#expectEnd(pin);
    if (!this.#isEdgeTriggered(pin) && this.#isHigh(pin)) this.#deliver(pin);
  }

  #expectEnd(pin: number): void {
    if (((this.#state.entriesLow[pin] ?? MASKED) & (MASKED | LEVEL_TRIGGERED)) === LEVEL_TRIGGERED) {
      this.#outputs.expectEnd(pin, this.#addressOf(pin), this.#dataOf(pin));
    }
  }

  #deliver(pin: number): void {
    const { entriesLow } = this.#state;
    const entry = entriesLow[pin] ?? MASKED;
    if ((entry & (MASKED | REMOTE_IRR)) !== 0) return;
    if ((entry & LEVEL_TRIGGERED) !== 0) entriesLow[pin] = entry | REMOTE_IRR;
    this.#outputs.send(this.#addressOf(pin), this.#dataOf(pin));
  }

  #addressOf(pin: number): number {
    const { entriesLow, entriesHigh } = this.#state;
    const destination = (entriesHigh[pin] ?? 0) >>> 24;
    const isLogical = ((entriesLow[pin] ?? 0) & LOGICAL_DESTINATION) !== 0;
    return (MESSAGE_ADDRESS | (destination << 12) | (isLogical ? MESSAGE_LOGICAL : 0)) >>> 0;
  }

  #dataOf(pin: number): number {
    const entry = this.#state.entriesLow[pin] ?? 0;
    const trigger = entry & LEVEL_TRIGGERED;
    return (entry & (VECTOR | DELIVERY_MODE)) | trigger | (trigger === 0 ? 0 : MESSAGE_ASSERT);
  }

  #isEdgeTriggered(pin: number): boolean {
    return ((this.#state.entriesLow[pin] ?? 0) & LEVEL_TRIGGERED) === 0;
  }

  #isHigh(pin: number): boolean {
    return (this.#state.inputs & (1 << pin)) !== 0;
  }
}
