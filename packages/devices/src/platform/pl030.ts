import { array, atomic, i32, i64big, struct, u8, u32 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import { SharedMutex } from '../lock.ts';
import { announceChange, type TimedDevice } from './clock.ts';

/** Bytes of address space. */
export const PL030_LENGTH = 0x1000;

/** Registers of 32 bits, Arm PrimeCell RTC (PL030) technical reference manual, table 3-1. */
const RTCDR = 0x00;
const RTCMR = 0x04;
/** RTCSTAT when read, RTCEOI when written. */
const RTCSTAT_RTCEOI = 0x08;
const RTCLR = 0x0c;
const RTCCR = 0x10;
/** RTCPeriphID0 to 3 and RTCPCellID0 to 3, a byte each. */
const IDENTIFICATION = 0xfe0;
const IDENTIFICATION_BYTES = [0x30, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1] as const;

/** RTCCR: the match interrupt is enabled. */
const MIE = 1 << 0;

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
    control: u8,
    /** The counter has matched since the last RTCEOI. */
    matched: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
  },
  { name: 'pl030', version: 1 },
);

/** A PL030 as plain data. */
export interface Pl030Descriptor {
  readonly kind: 'pl030';
  readonly state: SharedArrayBuffer;
  /** Input of the interrupt controller. */
  readonly interrupt: number;
}

/** Makes a clock that counts the host's seconds since 1970, with the interrupt disabled. */
export function describePl030(options: { readonly interrupt: number }): Pl030Descriptor {
  return { kind: 'pl030', state: new SharedArrayBuffer(layout.size), interrupt: options.interrupt };
}

export interface Pl030Options {
  /** The host's time in milliseconds since 1970; `Date.now` unless given. */
  readonly now?: () => number;
}

/**
 * Arm's real time clock PL030: a counter of seconds, and an interrupt when it comes to a certain value. As with
 * `CmosRtc`, one thread gives its instance to a `DeviceClock` for the interrupt to come by itself.
 */
export class Pl030 implements BusDevice, TimedDevice {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;
  readonly #now: () => number;

  constructor(descriptor: Pl030Descriptor, line: InterruptLine, options: Pl030Options = {}) {
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
      const { match, control, matched } = this.#state;
      if ((control & MIE) === 0 || matched !== 0) return undefined;
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
      const { matched, control } = this.#state;
      const level = matched & control & MIE;
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
    if (seconds - seen >= until) state.matched = MIE;
  }

  #readRegister(register: number): number {
    const { match, matched, control, load } = this.#state;
    switch (register) {
      case RTCDR:
        return this.#seconds() >>> 0;
      case RTCMR:
        return match;
      case RTCSTAT_RTCEOI:
        return matched & control;
      case RTCLR:
        return load;
      case RTCCR:
        return control;
      default:
        return IDENTIFICATION_BYTES[(register - IDENTIFICATION) / 4] ?? 0;
    }
  }

  #writeRegister(register: number, value: number): void {
    const state = this.#state;
    switch (register) {
      case RTCMR:
        state.match = value;
        if (this.#seconds() >>> 0 === value) state.matched = MIE;
        break;
      case RTCSTAT_RTCEOI:
        state.matched = 0;
        break;
      case RTCLR:
        state.load = value;
        // The counter takes the value with its next second.
        state.offset = BigInt(value - 1 - Math.floor(this.#now() / 1000));
        state.seen = BigInt(value - 1);
        break;
      case RTCCR:
        state.control = value & MIE;
        break;
      default:
        return;
    }
    announceChange(this.changes);
  }
}
