import { array, atomic, i32, i64big, SharedMutex, struct, u8 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import type { AcpiPmDescriptor } from './acpi-pm.ts';
import { readBytes, writeBytes } from './byte-registers.ts';
import { announceChange, type TimedDevice } from './clock.ts';
import { B_24_HOURS, isTimeRegister, loadTime, nextAlarm, storeTime } from './cmos-time.ts';

/** I/O ports: the number of a register, and its value. */
export const CMOS_RTC_PORT = 0x70;
export const CMOS_RTC_LENGTH = 2;

const INDEX = 0;
/** Bit 7 of the index port masks NMIs, which there are none of. */
const INDEX_MASK = 0x7f;
const REGISTERS = 128;

/** Control registers, MC146818 data sheet, figures 12 to 15. */
const REGISTER_A = 0x0a;
const REGISTER_B = 0x0b;
const REGISTER_C = 0x0c;
const REGISTER_D = 0x0d;

/** An update of the time is going on, or will before a driver can have read it. */
const A_UIP = 1 << 7;
/** Divider: 010 for the usual crystal of 32,768 Hz, 11x holds it in reset. */
const A_DIVIDER_RESET = 3 << 5;
const A_DIVIDER_32768_HZ = 2 << 4;
const A_RATE = 0x0f;
/** 1024 Hz, as firmware leaves it. */
const A_RATE_1024_HZ = 6;

/** Holds the time still while it is set. */
const B_SET = 1 << 7;
/** Periodic, alarm and update-ended interrupt enables; the flags of register C are in the same places. */
const PERIODIC = 1 << 6;
const ALARM = 1 << 5;
const UPDATE = 1 << 4;
const INTERRUPTS = PERIODIC | ALARM | UPDATE;

const C_IRQF = 1 << 7;

/** Valid RAM and time: the battery is good. */
const D_VRT = 1 << 7;

/** How long before the next second {@link A_UIP} is set, in milliseconds: 244 µs and the 1984 µs that an update takes. */
const UPDATE_MS = 2;
/** How long after the end of a divider reset the first update comes, in milliseconds. */
const FIRST_UPDATE_MS = 500;

/** Registers with the size of memory, by which firmware finds it. */
const MEMORY_ABOVE_16_MIB = 0x34;
const MEMORY_ABOVE_4_GIB = 0x5b;
const MEMORY_UNIT = 65_536;

const MIB_16 = 16 * 2 ** 20;

const layout = struct(
  {
    lock: atomic(i32),
    /** See {@link TimedDevice.changes}. */
    changes: array(i32, 1),
    /** Milliseconds to add to the host's time to have the guest's. */
    offset: i64big,
    /** The guest's time up to which events have been looked for, in milliseconds. */
    seen: i64big,
    index: u8,
    /** Whether the time stands still in its registers: {@link B_SET}, or the divider in reset. */
    stopped: u8,
    /** Whether the divider was in reset since then. */
    dividerReset: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
    /** Registers and memory. Those of the time are filled in when they are read. */
    registers: array(u8, REGISTERS),
  },
  { name: 'cmos-rtc', version: 1 },
);

/** A real time clock with its memory, as plain data. */
export interface CmosRtcDescriptor {
  readonly kind: 'cmos-rtc';
  readonly state: SharedArrayBuffer;
  /** Input of the interrupt controller; 8 on a PC. */
  readonly interrupt: number;
  /** Who is told of alarms too, because they can wake the machine. */
  readonly powerManagement: AcpiPmDescriptor | undefined;
}

/** Makes a clock that shows the host's time in UTC, in BCD and with 24 hours. */
export function describeCmosRtc(options: {
  readonly interrupt: number;
  /** Bytes of RAM below 4 GiB from 0 on, and from 4 GiB on. */
  readonly memory: { readonly low: number; readonly high: number };
  readonly powerManagement?: AcpiPmDescriptor;
}): CmosRtcDescriptor {
  const state = new SharedArrayBuffer(layout.size);
  const { registers } = layout.attach(state);
  registers[REGISTER_A] = A_DIVIDER_32768_HZ | A_RATE_1024_HZ;
  registers[REGISTER_B] = B_24_HOURS;
  const { low, high } = options.memory;
  const above16Mib = Math.min(Math.floor(Math.max(low - MIB_16, 0) / MEMORY_UNIT), 0xffff);
  const above4Gib = Math.min(Math.floor(high / MEMORY_UNIT), 0xff_ffff);
  registers.set([above16Mib & 0xff, above16Mib >>> 8], MEMORY_ABOVE_16_MIB);
  registers.set([above4Gib & 0xff, (above4Gib >>> 8) & 0xff, above4Gib >>> 16], MEMORY_ABOVE_4_GIB);
  const { interrupt, powerManagement } = options;
  return { kind: 'cmos-rtc', state, interrupt, powerManagement };
}

export interface CmosRtcOptions {
  /** Called, on the thread that finds it out, when an alarm comes. */
  readonly onAlarm?: () => void;
  /** The host's time in milliseconds since 1970; `Date.now` unless given. */
  readonly now?: () => number;
}

/**
 * An MC146818: time, alarm, periodic and update-ended interrupts. Flags are found out when somebody looks, on any
 * thread; for interrupts to come without that, one thread gives its instance to a `DeviceClock`, whose timer makes 1,000
 * periodic interrupts a second at most.
 */
export class CmosRtc implements BusDevice, TimedDevice {
  readonly #state;
  readonly #registers: Uint8Array;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;
  readonly #onAlarm: () => void;
  readonly #now: () => number;

  constructor(descriptor: CmosRtcDescriptor, line: InterruptLine, options: CmosRtcOptions = {}) {
    this.#state = layout.attach(descriptor.state);
    this.#registers = this.#state.registers;
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#line = line;
    this.#onAlarm = options.onAlarm ?? (() => {});
    this.#now = options.now ?? Date.now;
  }

  get changes(): Int32Array {
    return this.#state.changes;
  }

  read(access: BusAccess): void {
    this.#locked(() => {
      readBytes(access, (offset) => (offset === INDEX ? this.#state.index : this.#readRegister()));
    });
  }

  write(access: BusAccess): void {
    this.#locked(() => {
      writeBytes(access, (offset, value) => {
        if (offset === INDEX) this.#state.index = value & INDEX_MASK;
        else this.#writeRegister(this.#state.index, value);
      });
    });
  }

  tick(): void {
    this.#locked(() => {});
  }

  nextDeadline(): number | undefined {
    this.#mutex.lock();
    try {
      const enabled = this.#register(REGISTER_B) & INTERRUPTS;
      // The line stays up until the guest has read the flags, so there is nothing to wait for.
      if (enabled === 0 || (this.#register(REGISTER_C) & C_IRQF) !== 0) return undefined;
      const time = this.#time();
      const deadlines: number[] = [];
      const period = this.#period();
      if ((enabled & PERIODIC) !== 0 && period > 0) {
        deadlines.push((Math.floor(time / period) + 1) * period);
      }
      if (this.#state.stopped === 0) {
        if ((enabled & UPDATE) !== 0) deadlines.push((Math.floor(time / 1000) + 1) * 1000);
        const alarm = (enabled & ALARM) !== 0 ? this.#nextAlarm(time) : undefined;
        if (alarm !== undefined) deadlines.push(alarm);
      }
      return deadlines.length === 0 ? undefined : Math.min(...deadlines) - time;
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Does `action` when what has happened until now has been seen, then lets line and timers follow. */
  #locked(action: () => void): void {
    let alarm = false;
    this.#mutex.lock();
    try {
      alarm = this.#catchUp();
      action();
      this.#updateInterrupt();
    } finally {
      this.#mutex.unlock();
    }
    if (alarm) this.#onAlarm();
  }

  #register(index: number): number {
    return this.#registers[index] ?? 0;
  }

  /** The guest's time in milliseconds; it goes on underneath while the registers are held. */
  #time(): number {
    return this.#now() + Number(this.#state.offset);
  }

  /** Milliseconds between periodic interrupts; 0 for none. The first two rates are those of other crystals. */
  #period(): number {
    const rate = this.#register(REGISTER_A) & A_RATE;
    if (rate === 0) return 0;
    return (1000 * 2 ** ((rate < 3 ? rate + 7 : rate) - 1)) / 32_768;
  }

  #nextAlarm(after: number): number | undefined {
    return nextAlarm(this.#registers, this.#register(REGISTER_B), after);
  }

  /** Sets the flags of what happened since the last time. @returns whether the alarm came */
  #catchUp(): boolean {
    const time = this.#time();
    const seen = Number(this.#state.seen);
    this.#state.seen = BigInt(Math.floor(time));
    // A host's clock that is set back, or a clock that nobody has looked at yet.
    if (time < seen || seen === 0) return false;
    let flags = 0;
    const period = this.#period();
    if (period > 0 && Math.floor(time / period) !== Math.floor(seen / period)) flags |= PERIODIC;
    if (this.#state.stopped === 0 && Math.floor(time / 1000) !== Math.floor(seen / 1000)) {
      flags |= UPDATE;
      const alarm = this.#nextAlarm(seen);
      if (alarm !== undefined && alarm <= time) flags |= ALARM;
    }
    this.#registers[REGISTER_C] = this.#register(REGISTER_C) | flags;
    return (flags & ALARM) !== 0;
  }

  #readRegister(): number {
    const { index } = this.#state;
    switch (index) {
      case REGISTER_A: {
        const updating = this.#state.stopped === 0 && this.#fraction() >= 1000 - UPDATE_MS;
        return this.#register(REGISTER_A) | (updating ? A_UIP : 0);
      }
      case REGISTER_C: {
        const flags = this.#register(REGISTER_C);
        this.#registers[REGISTER_C] = 0;
        announceChange(this.changes);
        return flags;
      }
      case REGISTER_D:
        return D_VRT;
      default:
        if (isTimeRegister(index)) this.#latch();
        return this.#register(index);
    }
  }

  #writeRegister(index: number, value: number): void {
    switch (index) {
      case REGISTER_A:
        this.#registers[REGISTER_A] = value & ~A_UIP;
        this.#stopOrStart();
        break;
      case REGISTER_B:
        // Setting the time ends the interrupt that announces the next one.
        this.#latch();
        this.#registers[REGISTER_B] = (value & B_SET) !== 0 ? value & ~UPDATE : value;
        this.#stopOrStart();
        break;
      case REGISTER_C:
      case REGISTER_D:
        return;
      default:
        if (isTimeRegister(index)) {
          this.#latch();
          this.#registers[index] = value;
          if (this.#state.stopped === 0) this.#setTime(this.#fraction());
        } else {
          this.#registers[index] = value;
        }
    }
    announceChange(this.changes);
  }

  /** Milliseconds of the current second. */
  #fraction(): number {
    const time = this.#time();
    return time - Math.floor(time / 1000) * 1000;
  }

  /** Brings the registers of the time up to date, unless they are held. */
  #latch(): void {
    if (this.#state.stopped === 0) storeTime(this.#registers, this.#time(), this.#register(REGISTER_B));
  }

  /** Makes the time what its registers say. @param fraction milliseconds of the second that have passed */
  #setTime(fraction: number): void {
    const time = loadTime(this.#registers, this.#register(REGISTER_B)) + Math.floor(fraction);
    this.#state.offset = BigInt(Math.floor(time - this.#now()));
    this.#state.seen = BigInt(time);
  }

  /** Holds the time in its registers, or lets it go on from what they say. */
  #stopOrStart(): void {
    const state = this.#state;
    const dividerReset = (this.#register(REGISTER_A) & A_DIVIDER_RESET) === A_DIVIDER_RESET;
    const stopped = dividerReset || (this.#register(REGISTER_B) & B_SET) !== 0;
    if (stopped && state.stopped === 0) {
      this.#latch();
      state.stopped = 1;
      state.dividerReset = 0;
    }
    if (dividerReset) state.dividerReset = 1;
    if (!stopped && state.stopped !== 0) {
      state.stopped = 0;
      this.#setTime(state.dividerReset !== 0 ? 1000 - FIRST_UPDATE_MS : this.#fraction());
    }
  }

  #updateInterrupt(): void {
    const flags = this.#register(REGISTER_C) & INTERRUPTS;
    const level = (flags & this.#register(REGISTER_B)) !== 0 ? 1 : 0;
    this.#registers[REGISTER_C] = flags | (level === 1 ? C_IRQF : 0);
    if (level === this.#state.lineLevel) return;
    this.#state.lineLevel = level;
    this.#line.set(level === 1);
  }
}
