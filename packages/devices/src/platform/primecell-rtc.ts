import { array, atomic, i32, i64big, SharedMutex, struct, u8, u32 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import { announceChange, type TimedDevice } from './clock.ts';

/** Bytes of address space. */
export const PRIMECELL_RTC_LENGTH = 0x1000;

/** What a register of 32 bits is for. */
type Register =
  /** The counter. */
  | 'data'
  | 'match'
  | 'load'
  /** Whether the counter counts, which it always does. */
  | 'start'
  /** Whether the interrupt is enabled. */
  | 'mask'
  /** Whether the counter has matched, and whether it has with the interrupt enabled. */
  | 'raw-status'
  | 'masked-status'
  /** Ends the interrupt when written. */
  | 'clear';

/** Where a part has its registers, and what else tells it from the other. */
interface Part {
  readonly read: Readonly<Record<number, Register>>;
  readonly write: Readonly<Record<number, Register>>;
  /** RTCPeriphID0 to 3 and RTCPCellID0 to 3, a byte each. */
  readonly identification: readonly number[];
  /** The counter has a value that is loaded so many seconds later. */
  readonly loadDelay: number;
}

const PRIMECELL_ID = [0x0d, 0xf0, 0x05, 0xb1] as const;

const PARTS = {
  /** Arm PrimeCell RTC (PL030) technical reference manual, table 3-1. */
  pl030: {
    read: { 0: 'data', 4: 'match', 8: 'masked-status', 12: 'load', 16: 'mask' },
    write: { 4: 'match', 8: 'clear', 12: 'load', 16: 'mask' },
    identification: [0x30, 0x10, 0x04, 0x00, ...PRIMECELL_ID],
    loadDelay: 1,
  },
  /** Arm PrimeCell RTC (PL031), ARM DDI 0224, table 3-1. */
  pl031: {
    read: {
      ...{ 0: 'data', 4: 'match', 8: 'load', 12: 'start', 16: 'mask' },
      ...{ 20: 'raw-status', 24: 'masked-status' },
    },
    write: { 4: 'match', 8: 'load', 16: 'mask', 28: 'clear' },
    identification: [0x31, 0x10, 0x04, 0x00, ...PRIMECELL_ID],
    loadDelay: 0,
  },
} as const satisfies Readonly<Record<string, Part>>;

const IDENTIFICATION = 0xfe0;

/** The only bit that registers of one bit have. */
const BIT = 1 << 0;

const layout = struct(
  {
    lock: atomic(i32),
    /** See {@link TimedDevice.changes}. */
    changes: array(i32, 1),
    /** Seconds to add to the host's time to have the counter. */
    offset: i64big,
    /** The second, in the host's time plus offset, up to which the counter has been compared. */
    seen: i64big,
    match: u32,
    load: u32,
    mask: u8,
    /** The counter has matched since that was last cleared. */
    matched: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
  },
  { name: 'primecell-rtc', version: 1 },
);

/** Which of Arm's clocks. */
export type PrimeCellRtcPart = keyof typeof PARTS;

/** A clock as plain data. */
export interface PrimeCellRtcDescriptor {
  readonly kind: 'primecell-rtc';
  readonly part: PrimeCellRtcPart;
  readonly state: SharedArrayBuffer;
  /** Input of the interrupt controller. */
  readonly interrupt: number;
}

/** Makes a clock that counts the host's seconds since 1970, with the interrupt disabled. */
export function describePrimeCellRtc(options: {
  readonly part: PrimeCellRtcPart;
  readonly interrupt: number;
}): PrimeCellRtcDescriptor {
  const { part, interrupt } = options;
  return { kind: 'primecell-rtc', part, state: new SharedArrayBuffer(layout.size), interrupt };
}

export interface PrimeCellRtcOptions {
  /** The host's time in milliseconds since 1970; `Date.now` unless given. */
  readonly now?: () => number;
}

/**
 * Arm's real time clocks, PL030 and PL031: a counter of seconds, and an interrupt when it comes to a certain value. As with
 * `CmosRtc`, one thread gives its instance to a `DeviceClock` for the interrupt to come by itself.
 */
export class PrimeCellRtc implements BusDevice, TimedDevice {
  readonly #part: Part;
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;
  readonly #now: () => number;

  constructor(descriptor: PrimeCellRtcDescriptor, line: InterruptLine, options: PrimeCellRtcOptions = {}) {
    this.#part = PARTS[descriptor.part];
    this.#state = layout.attach(descriptor.state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#line = line;
    this.#now = options.now ?? Date.now;
  }

  get changes(): Int32Array {
    return this.#state.changes;
  }

  read(access: BusAccess): void {
    this.#locked(() => {
      const { offset, size } = access;
      access.low = this.#readRegister(offset & ~3) >>> (8 * (offset & 3));
      access.high = size === 8 ? this.#readRegister((offset & ~3) + 4) : 0;
    });
  }

  write(access: BusAccess): void {
    this.#locked(() => {
      const { offset, size, low, high } = access;
      // The bus that the chip is made for has no narrower writes.
      if (size < 4 || offset % 4 !== 0) return;
      this.#writeRegister(offset, low);
      if (size === 8) this.#writeRegister(offset + 4, high);
    });
  }

  tick(): void {
    this.#locked(() => {});
  }

  nextDeadline(): number | undefined {
    this.#mutex.lock();
    try {
      const { match, mask, matched } = this.#state;
      if (mask === 0 || matched !== 0) return undefined;
      const seconds = this.#seconds();
      const until = (match - seconds) >>> 0 || 2 ** 32;
      return until * 1000 - (this.#now() % 1000);
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Does `action` when the counter has been compared until now, then lets the line follow. */
  #locked(action: () => void): void {
    this.#mutex.lock();
    try {
      this.#compare();
      action();
      const { matched, mask } = this.#state;
      const level = matched & mask;
      if (level === this.#state.lineLevel) return;
      this.#state.lineLevel = level;
      this.#line.set(level !== 0);
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Seconds that the counter has counted; its lower 32 bits are what it shows. */
  #seconds(): number {
    return Math.floor(this.#now() / 1000) + Number(this.#state.offset);
  }

  /** Looks whether the counter has come by the match value since the last time. */
  #compare(): void {
    const state = this.#state;
    const seconds = this.#seconds();
    const seen = Number(state.seen);
    state.seen = BigInt(seconds);
    // A clock that nobody has looked at yet, or a host's clock that was set back.
    if (seen === 0 || seconds <= seen) return;
    const until = (state.match - seen) >>> 0 || 2 ** 32;
    if (seconds - seen >= until) state.matched = BIT;
  }

  #readRegister(offset: number): number {
    const { match, matched, mask, load } = this.#state;
    switch (this.#part.read[offset]) {
      case 'data':
        return this.#seconds() >>> 0;
      case 'match':
        return match;
      case 'load':
        return load;
      case 'start':
        return BIT;
      case 'mask':
        return mask;
      case 'raw-status':
        return matched;
      case 'masked-status':
        return matched & mask;
      default:
        return this.#part.identification[(offset - IDENTIFICATION) / 4] ?? 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    const state = this.#state;
    switch (this.#part.write[offset]) {
      case 'match':
        state.match = value;
        if (this.#seconds() >>> 0 === value) state.matched = BIT;
        break;
      case 'clear':
        state.matched = 0;
        break;
      case 'load': {
        const seconds = value - this.#part.loadDelay;
        state.load = value;
        state.offset = BigInt(seconds - Math.floor(this.#now() / 1000));
        state.seen = BigInt(seconds);
        break;
      }
      case 'mask':
        state.mask = value & BIT;
        break;
      default:
        return;
    }
    announceChange(this.changes);
  }
}
