import type { InterruptLine } from '../vm.ts';

/** Registers of an interrupt domain's control region (AIA 1.0, table 4.1), as byte offsets. */
const Register = {
  domaincfg: 0x0000,
  sourcecfg: 0x0004,
  setip: 0x1c00,
  setipnum: 0x1cdc,
  inClrip: 0x1d00,
  clripnum: 0x1ddc,
  setie: 0x1e00,
  setienum: 0x1edc,
  clrie: 0x1f00,
  clrienum: 0x1fdc,
  setipnumLe: 0x2000,
  setipnumBe: 0x2004,
  genmsi: 0x3000,
  target: 0x3004,
} as const;

/** domaincfg: constant 0x80 in the top byte, delivery by MSI, little endian. Only IE can be written. */
const DOMAINCFG_FIXED = 0x8000_0004;
const DOMAINCFG_IE = 1 << 8;

/** sourcecfg's source modes (AIA 1.0, table 4.2); 2 and 3 are reserved and read as inactive. */
const SourceMode = { inactive: 0, detached: 1, edge1: 4, edge0: 5, level1: 6, level0: 7 } as const;

const MAXIMUM_SOURCES = 1023;
const WORDS = 32;

/** Indices of the shared state, in 32-bit words. */
const State = {
  domaincfg: 0,
  input: 32,
  pending: 64,
  enabled: 96,
  sourcecfg: 128,
  target: 1152,
  words: 2176,
} as const;

/** Delivers an MSI to a hart's interrupt file. Callable from any thread. */
export type DeliverMsi = (hart: number, identity: number) => void;

function isLevel(mode: number): boolean {
  return mode === SourceMode.level1 || mode === SourceMode.level0;
}

/**
 * The supervisor interrupt domain of an advanced platform-level interrupt controller in MSI delivery mode (AIA 1.0,
 * chapter 4).
 *
 * All of its state is 32-bit words of a SharedArrayBuffer that change by single atomic operations, so any number of
 * threads (vCPUs that access its registers, devices that move its inputs) attach to it without a lock. Who clears a
 * pending bit is who sends its MSI, so none is sent twice.
 */
export class Aplic {
  /** Bytes of shared state. */
  static readonly stateSize = State.words * 4;

  readonly #state: Int32Array;
  readonly #sources: number;
  readonly #harts: number;
  readonly #deliver: DeliverMsi;

  /**
   * @param state at least {@link stateSize} bytes, zeroed for a controller that comes out of reset
   * @param sources wired sources, 1–1023; they are numbered from 1
   * @throws RangeError for a number of sources the controller cannot have
   */
  constructor(state: SharedArrayBuffer, sources: number, harts: number, deliver: DeliverMsi) {
    if (!Number.isInteger(sources) || sources < 1 || sources > MAXIMUM_SOURCES) {
      throw new RangeError(`an APLIC has 1 to ${MAXIMUM_SOURCES} sources, not ${sources}`);
    }
    this.#state = new Int32Array(state, 0, State.words);
    this.#sources = sources;
    this.#harts = harts;
    this.#deliver = deliver;
  }

  /** The wire of a source. @throws RangeError for a source the controller does not have */
  line(source: number): InterruptLine {
    if (!this.#has(source)) {
      throw new RangeError(`the APLIC has sources 1 to ${this.#sources}, not ${source}`);
    }
    return { set: (level) => this.#setInput(source, level) };
  }

  /** A 32-bit load from the control region; other offsets and misaligned ones read zero. */
  read(offset: number): number {
    if ((offset & 3) !== 0) {
      return 0;
    }
    if (offset === Register.domaincfg) {
      return (this.#load(State.domaincfg) | DOMAINCFG_FIXED) >>> 0;
    }
    if (offset >= Register.sourcecfg && offset <= 0x0ffc) {
      return this.#load(State.sourcecfg + (offset >> 2));
    }
    if (offset >= Register.target && offset <= 0x3ffc) {
      return this.#load(State.target + ((offset - Register.genmsi) >> 2)) >>> 0;
    }
    const word = (offset & 0x7f) >> 2;
    switch (offset & ~0x7f) {
      case Register.setip:
        return this.#load(State.pending + word) >>> 0;
      case Register.inClrip:
        return this.#rectified(word) >>> 0;
      case Register.setie:
        return this.#load(State.enabled + word) >>> 0;
      default:
        return 0;
    }
  }

  /** A 32-bit store to the control region; stores to other offsets do nothing. */
  write(offset: number, value: number): void {
    if ((offset & 3) !== 0) {
      return;
    }
    if (offset === Register.domaincfg) {
      Atomics.store(this.#state, State.domaincfg, value & DOMAINCFG_IE);
      this.#forwardAll();
      return;
    }
    if (offset >= Register.sourcecfg && offset <= 0x0ffc) {
      this.#writeSourcecfg(offset >> 2, value);
      return;
    }
    if (offset >= Register.target && offset <= 0x3ffc) {
      this.#writeTarget((offset - Register.genmsi) >> 2, value);
      return;
    }
    switch (offset) {
      case Register.setipnum:
      case Register.setipnumLe:
        this.#setPending(value);
        return;
      case Register.setipnumBe:
        this.#setPending(swapBytes(value));
        return;
      case Register.clripnum:
        this.#clearBit(State.pending, value);
        return;
      case Register.setienum:
        this.#enable(value);
        return;
      case Register.clrienum:
        this.#clearBit(State.enabled, value);
        return;
      case Register.genmsi:
        this.#send(value);
        return;
    }
    const first = ((offset & 0x7f) >> 2) * 32;
    switch (offset & ~0x7f) {
      case Register.setip:
        this.#forEachBit(first, value, (source) => this.#setPending(source));
        return;
      case Register.inClrip:
        this.#forEachBit(first, value, (source) => this.#clearBit(State.pending, source));
        return;
      case Register.setie:
        this.#forEachBit(first, value, (source) => this.#enable(source));
        return;
      case Register.clrie:
        this.#forEachBit(first, value, (source) => this.#clearBit(State.enabled, source));
        return;
    }
  }

  #setInput(source: number, level: boolean): void {
    const word = State.input + (source >>> 5);
    const bit = 1 << (source & 31);
    const before = level ? Atomics.or(this.#state, word, bit) : Atomics.and(this.#state, word, ~bit);
    if (((before & bit) !== 0) === level) {
      return;
    }
    const mode = this.#mode(source);
    const rises = mode === SourceMode.edge1 || mode === SourceMode.level1 ? level : !level;
    if (mode < SourceMode.edge1) {
      return;
    }
    if (rises) {
      this.#setBit(State.pending, source);
      this.#forward(source);
    } else if (isLevel(mode)) {
      this.#clearBit(State.pending, source);
    }
  }

  #writeSourcecfg(source: number, value: number): void {
    if (!this.#has(source)) {
      return;
    }
    // Bit 10 would delegate to a child domain: there is none, so it stays zero (section 4.5.2).
    const requested = value & 7;
    const mode = requested === 2 || requested === 3 ? SourceMode.inactive : requested;
    Atomics.store(this.#state, State.sourcecfg + source, mode);
    if (mode === SourceMode.inactive) {
      this.#clearBit(State.enabled, source);
      this.#clearBit(State.pending, source);
      Atomics.store(this.#state, State.target + source, 0);
    } else if (isLevel(mode)) {
      if (this.#isRectifiedHigh(source)) {
        this.#setBit(State.pending, source);
        this.#forward(source);
      } else {
        this.#clearBit(State.pending, source);
      }
    }
  }

  #writeTarget(source: number, value: number): void {
    if (this.#has(source) && this.#mode(source) !== SourceMode.inactive) {
      // Guest index is always 0: there are no guest interrupt files.
      Atomics.store(this.#state, State.target + source, value & 0xfffc_07ff);
      this.#forward(source);
    }
  }

  #setPending(source: number): void {
    const mode = this.#mode(source);
    if (!this.#has(source) || mode === SourceMode.inactive) {
      return;
    }
    // A level-sensitive source in MSI mode can be made pending only while its input is asserted (section 4.7).
    if (!isLevel(mode) || this.#isRectifiedHigh(source)) {
      this.#setBit(State.pending, source);
      this.#forward(source);
    }
  }

  #enable(source: number): void {
    if (this.#has(source) && this.#mode(source) !== SourceMode.inactive) {
      this.#setBit(State.enabled, source);
      this.#forward(source);
    }
  }

  /** Sends the MSI of a source that is pending and enabled, once. */
  #forward(source: number): void {
    const word = source >>> 5;
    const bit = 1 << (source & 31);
    if (
      (this.#load(State.domaincfg) & DOMAINCFG_IE) === 0 ||
      (this.#load(State.enabled + word) & bit) === 0
    ) {
      return;
    }
    if ((Atomics.and(this.#state, State.pending + word, ~bit) & bit) !== 0) {
      this.#send(this.#load(State.target + source));
    }
  }

  #forwardAll(): void {
    for (let word = 0; word <= this.#sources >>> 5; word++) {
      const ready = this.#load(State.pending + word) & this.#load(State.enabled + word);
      this.#forEachBit(word * 32, ready, (source) => this.#forward(source));
    }
  }

  #send(target: number): void {
    const hart = target >>> 18;
    if (hart < this.#harts) {
      this.#deliver(hart, target & 0x7ff);
    }
  }

  #rectified(word: number): number {
    let value = 0;
    this.#forEachBit(word * 32, -1, (source) => {
      if (this.#mode(source) >= SourceMode.edge1 && this.#isRectifiedHigh(source)) {
        value |= 1 << (source & 31);
      }
    });
    return value;
  }

  /** The input after inversion for the modes that are active low. */
  #isRectifiedHigh(source: number): boolean {
    const high = (this.#load(State.input + (source >>> 5)) & (1 << (source & 31))) !== 0;
    const mode = this.#mode(source);
    return mode === SourceMode.edge0 || mode === SourceMode.level0 ? !high : high;
  }

  #mode(source: number): number {
    return this.#has(source) ? this.#load(State.sourcecfg + source) : SourceMode.inactive;
  }

  #has(source: number): boolean {
    return Number.isInteger(source) && source >= 1 && source <= this.#sources;
  }

  #load(index: number): number {
    return Atomics.load(this.#state, index);
  }

  #setBit(base: number, source: number): void {
    Atomics.or(this.#state, base + (source >>> 5), 1 << (source & 31));
  }

  #clearBit(base: number, source: number): void {
    if (this.#has(source)) {
      Atomics.and(this.#state, base + (source >>> 5), ~(1 << (source & 31)));
    }
  }

  #forEachBit(first: number, bits: number, action: (source: number) => void): void {
    for (let bit = 0; bit < WORDS; bit++) {
      if ((bits & (1 << bit)) !== 0 && this.#has(first + bit)) {
        action(first + bit);
      }
    }
  }
}

function swapBytes(value: number): number {
  return (
    ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | ((value >>> 24) & 0xff)
  );
}
