import type { PciConfigurationSpace, PciConfigurationSpaceBuilder } from './configuration-space.ts';

/** Byte offsets in a type 1 header (PCI-to-PCI Bridge Architecture 1.2, section 3.2), where it differs from type 0. */
const BUS_NUMBERS = 0x18;
const MEMORY_WINDOW = 0x20;
const PREFETCHABLE_WINDOW = 0x24;
const PREFETCHABLE_BASE_UPPER = 0x28;
const PREFETCHABLE_LIMIT_UPPER = 0x2c;
const INTERRUPT_AND_CONTROL = 0x3c;

/** Bus numbers; what stands beside them, the latency timer, is zero on PCI Express. */
const BUS_NUMBERS_WRITABLE = 0x00ff_ffff;
/** Base in bits 15…4 and limit in bits 31…20: what they say is bits 31…20 of an address. */
const WINDOW_WRITABLE = 0xfff0_fff0;
const PREFETCHABLE_IS_64_BIT = 0x0001_0001;
/** Interrupt line; parity, SERR and secondary bus reset of bridge control. */
const INTERRUPT_AND_CONTROL_WRITABLE = 0x0043_00ff;
/** Windows begin and end at a multiple of this. */
export const BRIDGE_WINDOW_ALIGNMENT = 2 ** 20;

/** Lets the guest write what a bridge has in place of BARs. There is no window for I/O ports. */
export function addBridgeHeader(space: PciConfigurationSpaceBuilder): void {
  space
    .setWritable(BUS_NUMBERS, BUS_NUMBERS_WRITABLE)
    .setWritable(MEMORY_WINDOW, WINDOW_WRITABLE)
    .setWritable(PREFETCHABLE_WINDOW, WINDOW_WRITABLE)
    .setWritable(PREFETCHABLE_BASE_UPPER, -1)
    .setWritable(PREFETCHABLE_LIMIT_UPPER, -1)
    .setWritable(INTERRUPT_AND_CONTROL, INTERRUPT_AND_CONTROL_WRITABLE)
    .setWord(PREFETCHABLE_WINDOW, PREFETCHABLE_IS_64_BIT);
}

/** What a bridge's configuration space says of the bus behind it. */
export class PciBridgeHeader {
  readonly #space: PciConfigurationSpace;

  constructor(space: PciConfigurationSpace) {
    this.#space = space;
  }

  /** The bus behind the bridge; 0 until it is set. */
  get secondaryBus(): number {
    return (this.#space.readWord(BUS_NUMBERS) >>> 8) & 0xff;
  }

  /** The highest of the buses behind the bridge. */
  get subordinateBus(): number {
    return (this.#space.readWord(BUS_NUMBERS) >>> 16) & 0xff;
  }

  setBusNumbers(primary: number, secondary: number, subordinate: number): void {
    this.#space.writeWord(BUS_NUMBERS, primary | (secondary << 8) | (subordinate << 16), -1);
  }

  /** Whether all of [start, end) lies in one of the windows. */
  forwards(start: number, end: number): boolean {
    const memory = this.#space.readWord(MEMORY_WINDOW);
    if (start >= windowBase(memory) && end <= windowEnd(memory)) return true;
    const prefetchable = this.#space.readWord(PREFETCHABLE_WINDOW);
    const base = windowBase(prefetchable) + this.#space.readWord(PREFETCHABLE_BASE_UPPER) * 2 ** 32;
    const limit = windowEnd(prefetchable) + this.#space.readWord(PREFETCHABLE_LIMIT_UPPER) * 2 ** 32;
    return start >= base && end <= limit;
  }

  /** Has 32-bit addresses forwarded. Both are multiples of {@link BRIDGE_WINDOW_ALIGNMENT}. */
  setMemoryWindow(start: number, end: number): void {
    this.#space.writeWord(MEMORY_WINDOW, windowWord(start, end), -1);
  }

  /** Has addresses forwarded for BARs that are prefetchable. Both are multiples of {@link BRIDGE_WINDOW_ALIGNMENT}. */
  setPrefetchableWindow(start: number, end: number): void {
    this.#space.writeWord(PREFETCHABLE_WINDOW, windowWord(start, end), -1);
    this.#space.writeWord(PREFETCHABLE_BASE_UPPER, Math.floor(start / 2 ** 32), -1);
    this.#space.writeWord(PREFETCHABLE_LIMIT_UPPER, Math.floor((end - 1) / 2 ** 32), -1);
  }
}

const windowBase = (word: number): number => ((word & 0xfff0) << 16) >>> 0;
/** One past the last address: the limit register names the last MiB. */
const windowEnd = (word: number): number => ((word & 0xfff0_0000) >>> 0) + BRIDGE_WINDOW_ALIGNMENT;
const windowWord = (start: number, end: number): number =>
  ((start >>> 16) & 0xfff0) | ((end - BRIDGE_WINDOW_ALIGNMENT) & 0xfff0_0000);
