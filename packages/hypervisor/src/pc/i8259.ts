import { array, struct, u8 } from '@tsvmm/struct';

// Intel 8259A Programmable Interrupt Controller, order number 231468; the edge/level control registers are those of the
// chipsets that had it (82371, section 4.2.6).

/** Interrupt inputs of the two together. */
export const PIC_PINS = 16;
/** Ports: command and data of the first, of the second, and the edge/level control registers of both. */
export const PIC_PORTS = { first: 0x20, second: 0xa0, elcr: 0x4d0 } as const;

/** The first one's input that the second one is wired to. */
const CASCADE = 2;
/** Level and vector of an interrupt that went before it was acknowledged. */
const SPURIOUS = 7;
/** Timer, keyboard and cascade are edge-triggered, and so are clock and coprocessor. */
const ELCR_MASKS = [0xf8, 0xde] as const;

/** Initialization command word 1 (figure 7). Bit 3, level triggering, does nothing here: the ELCR is what counts. */
const ICW1 = 1 << 4;
const ICW1_NEEDS_ICW4 = 1 << 0;
const ICW1_SINGLE = 1 << 1;
const ICW4_AUTO_EOI = 1 << 1;
const ICW4_SPECIAL_FULLY_NESTED = 1 << 4;
/** Operation command word 3 (figure 8). */
const OCW3 = 1 << 3;
const OCW3_READ_ISR = 1 << 0;
const OCW3_READ = 1 << 1;
const OCW3_POLL = 1 << 2;
const OCW3_SPECIAL_MASK = 1 << 5;
const OCW3_SET_SPECIAL_MASK = 1 << 6;
/** Operation command word 2: what its upper three bits ask for. */
const Ocw2 = {
  stopRotatingInAutoEoi: 0,
  endOfInterrupt: 1,
  specificEndOfInterrupt: 3,
  rotateInAutoEoi: 4,
  rotateOnEndOfInterrupt: 5,
  setPriority: 6,
  rotateOnSpecificEndOfInterrupt: 7,
} as const;
/** What a poll answers when there was something: the level is below. */
const POLL_INTERRUPT = 1 << 7;

const chipState = struct(
  {
    /** Levels of the inputs. */
    inputs: u8,
    /** Interrupt request, mask and in-service registers. */
    irr: u8,
    imr: u8,
    isr: u8,
    elcr: u8,
    /** Upper five bits of the vectors. */
    vectorBase: u8,
    /** The level of highest priority; the one before it has the lowest. */
    highestPriority: u8,
    /** The initialization word that the data port expects, 0 for none. */
    expectedWord: u8,
    /** Bits of ICW1 and ICW4. */
    icw1: u8,
    icw4: u8,
    /** Flags, 0 or 1. */
    readIsr: u8,
    poll: u8,
    specialMask: u8,
    rotateInAutoEoi: u8,
  },
  { name: 'i8259' },
);
type ChipState = ReturnType<(typeof chipState)['attach']>;

/** The registers of both, in memory that threads share. Zeroes are their state before a guest initializes them. */
export const i8259PairState = struct({ chips: array(chipState, 2) }, { name: 'i8259-pair', version: 1 });
export type I8259PairState = ReturnType<(typeof i8259PairState)['attach']>;

/** One of the two. */
class Chip {
  readonly #state: ChipState;
  readonly #elcrMask: number;
  readonly #isFirst: boolean;
  readonly #ended: (level: number) => void;

  constructor(state: ChipState, isFirst: boolean, ended: (level: number) => void) {
    this.#state = state;
    this.#elcrMask = ELCR_MASKS[isFirst ? 0 : 1];
    this.#isFirst = isFirst;
    this.#ended = ended;
  }

  get elcr(): number {
    return this.#state.elcr;
  }

  set elcr(value: number) {
    this.#state.elcr = value & this.#elcrMask;
  }

  /** The level that is to interrupt the processor: the output is high while there is one. */
  get request(): number | undefined {
    const { irr, imr, isr, specialMask, icw4 } = this.#state;
    const requested = this.#highest(irr & ~imr);
    if (requested === undefined) return undefined;
    // What is in service keeps out its own level and those below it; not if masked in special mask mode, and not requests
    // of higher priority within the second chip in special fully nested mode.
    let blocking = specialMask === 0 ? isr : isr & ~imr;
    if (this.#isFirst && (icw4 & ICW4_SPECIAL_FULLY_NESTED) !== 0) blocking &= ~(1 << CASCADE);
    const inService = this.#highest(blocking);
    const isHigher = inService === undefined || this.#rank(requested) < this.#rank(inService);
    return isHigher ? requested : undefined;
  }

  setInput(level: number, high: boolean): void {
    const state = this.#state;
    const bit = 1 << level;
    const rises = high && (state.inputs & bit) === 0;
    state.inputs = high ? state.inputs | bit : state.inputs & ~bit;
    if (this.#followsLevel(level)) state.irr = high ? state.irr | bit : state.irr & ~bit;
    else if (rises) state.irr |= bit;
  }

  /** The second INTA pulse. @returns the level, whose vector is {@link vectorOf} */
  acknowledge(): number {
    const state = this.#state;
    const level = this.request;
    if (level === undefined) return SPURIOUS;
    const bit = 1 << level;
    if (!this.#followsLevel(level)) state.irr &= ~bit;
    if ((state.icw4 & ICW4_AUTO_EOI) === 0) state.isr |= bit;
    else {
      if (state.rotateInAutoEoi !== 0) this.#makeLowest(level);
      this.#ended(level);
    }
    return level;
  }

  vectorOf(level: number): number {
    return this.#state.vectorBase | level;
  }

  readCommand(): number {
    if (this.#state.poll !== 0) return this.#readPoll();
    return this.#state.readIsr === 0 ? this.#state.irr : this.#state.isr;
  }

  readData(): number {
    return this.#state.poll === 0 ? this.#state.imr : this.#readPoll();
  }

  writeCommand(value: number): void {
    const state = this.#state;
    if ((value & ICW1) !== 0) this.#initialize(value);
    else if ((value & OCW3) === 0) this.#writeOcw2(value >>> 5, value & 7);
    else {
      if ((value & OCW3_POLL) !== 0) state.poll = 1;
      if ((value & OCW3_READ) !== 0) state.readIsr = value & OCW3_READ_ISR;
      if ((value & OCW3_SET_SPECIAL_MASK) !== 0)
        state.specialMask = (value & OCW3_SPECIAL_MASK) === 0 ? 0 : 1;
    }
  }

  writeData(value: number): void {
    const state = this.#state;
    switch (state.expectedWord) {
      case 2:
        state.vectorBase = value & 0xf8;
        state.expectedWord = (state.icw1 & ICW1_SINGLE) === 0 ? 3 : this.#wordAfterIcw3();
        break;
      case 3:
        // How the two are wired, which they know.
        state.expectedWord = this.#wordAfterIcw3();
        break;
      case 4:
        state.icw4 = value;
        state.expectedWord = 0;
        break;
      default:
        state.imr = value;
    }
  }

  #initialize(value: number): void {
    const state = this.#state;
    state.icw1 = value;
    state.icw4 = 0;
    state.expectedWord = 2;
    // Edges have to come again, levels have not gone.
    state.irr = state.inputs & this.#levelMask();
    state.imr = 0;
    state.isr = 0;
    state.highestPriority = 0;
    state.readIsr = 0;
    state.poll = 0;
    state.specialMask = 0;
    state.rotateInAutoEoi = 0;
  }

  #wordAfterIcw3(): number {
    return (this.#state.icw1 & ICW1_NEEDS_ICW4) === 0 ? 0 : 4;
  }

  #writeOcw2(command: number, level: number): void {
    const state = this.#state;
    switch (command) {
      case Ocw2.stopRotatingInAutoEoi:
        state.rotateInAutoEoi = 0;
        break;
      case Ocw2.rotateInAutoEoi:
        state.rotateInAutoEoi = 1;
        break;
      case Ocw2.endOfInterrupt:
        this.#endOfInterrupt(this.#highestInService(), false);
        break;
      case Ocw2.rotateOnEndOfInterrupt:
        this.#endOfInterrupt(this.#highestInService(), true);
        break;
      case Ocw2.specificEndOfInterrupt:
        this.#endOfInterrupt(level, false);
        break;
      case Ocw2.rotateOnSpecificEndOfInterrupt:
        this.#endOfInterrupt(level, true);
        break;
      case Ocw2.setPriority:
        this.#makeLowest(level);
        break;
    }
  }

  #makeLowest(level: number): void {
    this.#state.highestPriority = (level + 1) & 7;
  }

  #endOfInterrupt(level: number | undefined, rotates: boolean): void {
    const state = this.#state;
    if (level === undefined) return;
    if (rotates) this.#makeLowest(level);
    if ((state.isr & (1 << level)) === 0) return;
    state.isr &= ~(1 << level);
    this.#ended(level);
  }

  /** A non-specific end skips what is masked in special mask mode. */
  #highestInService(): number | undefined {
    const { isr, imr, specialMask } = this.#state;
    return this.#highest(specialMask === 0 ? isr : isr & ~imr);
  }

  /** A poll acknowledges, as an INTA would. */
  #readPoll(): number {
    this.#state.poll = 0;
    if (this.request === undefined) return 0;
    return POLL_INTERRUPT | this.acknowledge();
  }

  #followsLevel(level: number): boolean {
    return (this.#levelMask() & (1 << level)) !== 0;
  }

  /** The second chip's output drops at each acknowledge, so what counts on the cascade is its level. */
  #levelMask(): number {
    return this.#state.elcr | (this.#isFirst ? 1 << CASCADE : 0);
  }

  /** The level of highest priority among some. */
  #highest(levels: number): number | undefined {
    if (levels === 0) return undefined;
    let level = this.#state.highestPriority;
    while ((levels & (1 << level)) === 0) level = (level + 1) & 7;
    return level;
  }

  /** 0 for the highest priority. */
  #rank(level: number): number {
    return (level - this.#state.highestPriority) & 7;
  }
}

/**
 * The two 8259As of a PC, one behind the other. Whoever uses them has a lock on the state.
 *
 * An edge stays requested when the input falls before it was acknowledged, so that pulses are not lost.
 */
export class I8259Pair {
  readonly #first: Chip;
  readonly #second: Chip;

  /** @param ended gets an input whose interrupt has been ended, 0 to 15 */
  constructor(state: I8259PairState, ended: (source: number) => void = () => {}) {
    const [first, second] = state.chips;
    if (first === undefined || second === undefined) throw new RangeError('the state has no two chips');
    this.#first = new Chip(first, true, ended);
    this.#second = new Chip(second, false, (level) => ended(8 + level));
  }

  /** Whether the processor is to be interrupted. */
  get hasRequest(): boolean {
    return this.#first.request !== undefined;
  }

  /** The vector that {@link acknowledge} would give now. */
  get vector(): number {
    const level = this.#first.request ?? SPURIOUS;
    if (level !== CASCADE) return this.#first.vectorOf(level);
    return this.#second.vectorOf(this.#second.request ?? SPURIOUS);
  }

  /** @param source 0 to 15; 2 is not there, being the second chip */
  setInput(source: number, level: boolean): void {
    if (source === CASCADE) return;
    const chip = source < 8 ? this.#first : this.#second;
    chip.setInput(source & 7, level);
    this.#cascade();
  }

  /** The processor takes the interrupt. @returns its vector */
  acknowledge(): number {
    const level = this.#first.acknowledge();
    if (level !== CASCADE) return this.#first.vectorOf(level);
    const vector = this.#second.vectorOf(this.#second.acknowledge());
    this.#cascade();
    return vector;
  }

  /** A port of {@link PIC_PORTS}, whose registers have a byte each. */
  read(port: number): number {
    switch (port) {
      case PIC_PORTS.first:
        return this.#first.readCommand();
      case PIC_PORTS.first + 1:
        return this.#first.readData();
      case PIC_PORTS.elcr:
        return this.#first.elcr;
      case PIC_PORTS.elcr + 1:
        return this.#second.elcr;
      default: {
        const value = port === PIC_PORTS.second ? this.#second.readCommand() : this.#second.readData();
        this.#cascade();
        return value;
      }
    }
  }

  write(port: number, value: number): void {
    switch (port) {
      case PIC_PORTS.first:
        this.#first.writeCommand(value);
        break;
      case PIC_PORTS.first + 1:
        this.#first.writeData(value);
        break;
      case PIC_PORTS.second:
        this.#second.writeCommand(value);
        break;
      case PIC_PORTS.second + 1:
        this.#second.writeData(value);
        break;
      case PIC_PORTS.elcr:
        this.#first.elcr = value;
        break;
      case PIC_PORTS.elcr + 1:
        this.#second.elcr = value;
        break;
    }
    this.#cascade();
  }

  #cascade(): void {
    this.#first.setInput(CASCADE, this.#second.request !== undefined);
  }
}
