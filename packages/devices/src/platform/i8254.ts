import { array, atomic, i32, SharedMutex, struct, u8, u16, u64 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import { readBytes, writeBytes } from './byte-registers.ts';
import { announceChange, type TimedDevice } from './clock.ts';

// Intel 8254 Programmable Interval Timer, order number 231164, and the port 0x61 that a PC has beside it.

/** I/O ports: the three counters and the control word. */
export const I8254_PORT = 0x40;
export const I8254_LENGTH = 4;
/** The port with the gate of counter 2, which makes sounds, and with what it counts. */
export const SYSTEM_CONTROL_PORT = 0x61;
export const SYSTEM_CONTROL_LENGTH = 1;

/** Counts in a second: a twelfth of the NTSC colour burst's four-fold. */
export const I8254_FREQUENCY = 1_193_182;

const COUNTERS = 3;
/** The counter that interrupts, and the one whose gate a guest opens and shuts. */
const TIMER = 0;
const SPEAKER = 2;

const CONTROL = 3;
/** Fields of the control word (figure 7). */
const SELECT_SHIFT = 6;
const READ_BACK = 3;
const ACCESS_SHIFT = 4;
const Access = { latch: 0, low: 1, high: 2, both: 3 } as const;
const MODE_SHIFT = 1;
const BCD = 1 << 0;
/** The read-back command (figure 10): what is not to be latched, and which counters. */
const NO_COUNT = 1 << 5;
const NO_STATUS = 1 << 4;
/** The status byte (figure 11). */
const STATUS_OUT = 1 << 7;
const STATUS_NULL_COUNT = 1 << 6;
/** The counters' modes (section "mode definitions"); 6 and 7 are 2 and 3. */
const Mode = {
  terminalCount: 0,
  oneShot: 1,
  rateGenerator: 2,
  squareWave: 3,
  softwareStrobe: 4,
  hardwareStrobe: 5,
} as const;

/** Bits of port 0x61: gate and sound can be written; the refresh bit toggles every 15 µs. */
const GATE = 1 << 0;
const SOUND = 1 << 1;
const REFRESH = 1 << 4;
const OUT = 1 << 5;
const REFRESH_TICKS = 18;

const counterLayout = struct(
  {
    /** Ticks of the machine at which the count began; with a shut gate, how far it had come. */
    start: u64,
    /** Rising edges of the output since then that have been seen. */
    edges: u64,
    /** 1 to 65,536, stored less 1. */
    lastCount: u16,
    latchedCount: u16,
    writtenLow: u8,
    latchedStatus: u8,
    /** Bits 5:0 of the control word. */
    control: u8,
    /** Flags, 0 or 1. */
    isCounting: u8,
    hasLatchedCount: u8,
    hasLatchedStatus: u8,
    readsHigh: u8,
    writesHigh: u8,
    gate: u8,
    isPaused: u8,
  },
  { name: 'i8254-counter' },
);
type Counter = ReturnType<(typeof counterLayout)['attach']>;

const layout = struct(
  {
    lock: atomic(i32),
    /** See {@link TimedDevice.changes}. */
    changes: array(i32, 1),
    counters: array(counterLayout, COUNTERS),
    /** Gate and sound of port 0x61. */
    systemControl: u8,
  },
  { name: 'i8254', version: 1 },
);

/** An interval timer as plain data. */
export interface I8254Descriptor {
  readonly kind: 'i8254';
  readonly state: SharedArrayBuffer;
  /** Input of the interrupt controller; 0 on a PC. */
  readonly interrupt: number;
}

/** The port beside it, on the same state. */
export interface SystemControlDescriptor {
  readonly kind: 'system-control';
  readonly timer: I8254Descriptor;
}

/** Makes a timer whose counters do not count, as one is before a guest has programmed it. */
export function describeI8254(options: { readonly interrupt: number }): I8254Descriptor {
  const state = new SharedArrayBuffer(layout.size);
  for (const [index, counter] of layout.attach(state).counters.entries()) {
    counter.gate = index === SPEAKER ? 0 : 1;
  }
  return { kind: 'i8254', state, interrupt: options.interrupt };
}

/** Nanoseconds of a clock that all threads of the process share. */
function monotonicTime(): number {
  return Number(process.hrtime.bigint());
}

/**
 * An 8254, of which counter 0 interrupts and counter 2 is the speaker's, which is silent. What the counters are at follows
 * from the time; for interrupts to come, one thread gives its instance to a `DeviceClock`, whose timer makes 1,000 a second
 * at most: edges that come together are one interrupt.
 */
export class I8254 implements BusDevice, TimedDevice {
  readonly #state;
  readonly #counters: readonly Counter[];
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;
  readonly #now: () => number;

  /** @param now nanoseconds of a clock that is the same for all threads */
  constructor(descriptor: I8254Descriptor, line: InterruptLine, now: () => number = monotonicTime) {
    this.#state = layout.attach(descriptor.state);
    this.#counters = this.#state.counters;
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#line = line;
    this.#now = now;
  }

  get changes(): Int32Array {
    return this.#state.changes;
  }

  read(access: BusAccess): void {
    this.#locked(() => readBytes(access, (offset) => this.#readPort(offset)));
  }

  write(access: BusAccess): void {
    this.#locked(() => writeBytes(access, (offset, value) => this.#writePort(offset, value)));
  }

  /** Port 0x61. */
  readSystemControl(): number {
    return this.#locked((now) => {
      const out = this.#isHigh(this.#counter(SPEAKER), now) ? OUT : 0;
      const refresh = Math.floor(now / REFRESH_TICKS) % 2 === 0 ? 0 : REFRESH;
      return this.#state.systemControl | refresh | out;
    });
  }

  writeSystemControl(value: number): void {
    this.#locked((now) => {
      this.#state.systemControl = value & (GATE | SOUND);
      this.#setGate(this.#counter(SPEAKER), (value & GATE) !== 0, now);
    });
  }

  nextDeadline(): number | undefined {
    return this.#locked((now) => {
      const timer = this.#counter(TIMER);
      const next = this.#ticksOfEdge(timer, timer.edges + 1);
      return next === undefined ? undefined : ((timer.start + next - now) * 1000) / I8254_FREQUENCY;
    });
  }

  tick(): void {
    this.#locked((now) => {
      const timer = this.#counter(TIMER);
      const edges = this.#edges(timer, now);
      if (edges <= timer.edges) return;
      timer.edges = edges;
      this.#line.set(true);
      this.#line.set(false);
    });
  }

  /** Does `action` at a time, in ticks of the counters. */
  #locked<T>(action: (now: number) => T): T {
    this.#mutex.lock();
    try {
      return action(this.#ticks());
    } finally {
      this.#mutex.unlock();
    }
  }

  #ticks(): number {
    return Math.floor((this.#now() / 1e9) * I8254_FREQUENCY);
  }

  #counter(index: number): Counter {
    const counter = this.#counters[index];
    if (counter === undefined) throw new RangeError(`an 8254 has no counter ${index}`);
    return counter;
  }

  #readPort(port: number): number {
    if (port >= COUNTERS) return 0;
    const counter = this.#counter(port);
    if (counter.hasLatchedStatus !== 0) {
      counter.hasLatchedStatus = 0;
      return counter.latchedStatus;
    }
    const isHigh = this.#takesHighByte(counter, counter.readsHigh);
    if (accessOf(counter) === Access.both) counter.readsHigh = isHigh ? 0 : 1;
    const count = counter.hasLatchedCount === 0 ? this.#count(counter, this.#ticks()) : counter.latchedCount;
    if (accessOf(counter) !== Access.both || isHigh) counter.hasLatchedCount = 0;
    return isHigh ? count >>> 8 : count & 0xff;
  }

  #writePort(port: number, value: number): void {
    if (port === CONTROL) this.#writeControl(value);
    else this.#writeCount(this.#counter(port), value);
    if (port === CONTROL || port === TIMER) announceChange(this.#state.changes);
  }

  #writeControl(value: number): void {
    const select = value >>> SELECT_SHIFT;
    if (select === READ_BACK) {
      for (const [index, counter] of this.#counters.entries()) {
        if ((value & (2 << index)) === 0) continue;
        if ((value & NO_COUNT) === 0) this.#latchCount(counter);
        if ((value & NO_STATUS) === 0) this.#latchStatus(counter);
      }
      return;
    }
    const counter = this.#counter(select);
    if (((value >>> ACCESS_SHIFT) & 3) === Access.latch) {
      this.#latchCount(counter);
      return;
    }
    counter.control = value & 0x3f;
    counter.isCounting = 0;
    counter.hasLatchedCount = 0;
    counter.hasLatchedStatus = 0;
    counter.readsHigh = 0;
    counter.writesHigh = 0;
    counter.edges = 0;
  }

  #writeCount(counter: Counter, value: number): void {
    const isHigh = this.#takesHighByte(counter, counter.writesHigh);
    if (accessOf(counter) === Access.both) {
      counter.writesHigh = isHigh ? 0 : 1;
      if (!isHigh) {
        counter.writtenLow = value;
        // A half-written count stops a count to a terminal one (mode 0).
        if (modeOf(counter) === Mode.terminalCount) counter.isCounting = 0;
        return;
      }
    }
    const low = accessOf(counter) === Access.both ? counter.writtenLow : isHigh ? 0 : value;
    const written = (isHigh ? value << 8 : 0) | low;
    const count = (counter.control & BCD) === 0 ? written : fromBcd(written);
    counter.lastCount = (count === 0 ? rangeOf(counter) : count) - 1;
    const mode = modeOf(counter);
    // Modes 1 and 5 wait for their gate's edge.
    if (mode !== Mode.oneShot && mode !== Mode.hardwareStrobe) this.#begin(counter, this.#ticks());
    else if (counter.isCounting === 0) counter.edges = 0;
  }

  #takesHighByte(counter: Counter, second: number): boolean {
    const access = accessOf(counter);
    return access === Access.high || (access === Access.both && second !== 0);
  }

  #begin(counter: Counter, now: number): void {
    counter.isCounting = 1;
    counter.edges = 0;
    counter.isPaused = counter.gate === 0 ? 1 : 0;
    counter.start = counter.isPaused === 0 ? now : 0;
  }

  /** What a gate does in each mode (table "gate pin operations"). */
  #setGate(counter: Counter, isOpen: boolean, now: number): void {
    if ((counter.gate !== 0) === isOpen) return;
    counter.gate = isOpen ? 1 : 0;
    switch (modeOf(counter)) {
      case Mode.oneShot:
      case Mode.hardwareStrobe:
        // Starts when a count has been written.
        if (isOpen) this.#begin(counter, now);
        break;
      case Mode.rateGenerator:
      case Mode.squareWave:
        if (counter.isCounting !== 0) this.#begin(counter, now);
        break;
      default:
        if (counter.isCounting === 0) break;
        counter.start = now - counter.start;
        counter.isPaused = isOpen ? 0 : 1;
    }
  }

  #latchCount(counter: Counter): void {
    if (counter.hasLatchedCount !== 0) return;
    counter.latchedCount = this.#count(counter, this.#ticks());
    counter.hasLatchedCount = 1;
  }

  #latchStatus(counter: Counter): void {
    if (counter.hasLatchedStatus !== 0) return;
    const out = this.#isHigh(counter, this.#ticks()) ? STATUS_OUT : 0;
    counter.latchedStatus = out | (counter.isCounting === 0 ? STATUS_NULL_COUNT : 0) | counter.control;
    counter.hasLatchedStatus = 1;
  }

  /** Ticks since the count began. */
  #elapsed(counter: Counter, now: number): number {
    if (counter.isPaused === 0) return Math.max(now - counter.start, 0);
    const mode = modeOf(counter);
    return mode === Mode.rateGenerator || mode === Mode.squareWave ? 0 : counter.start;
  }

  /** What the counting element holds, in binary or BCD. */
  #count(counter: Counter, now: number): number {
    const initial = counter.lastCount + 1;
    const range = rangeOf(counter);
    const elapsed = counter.isCounting === 0 ? 0 : this.#elapsed(counter, now);
    let count: number;
    switch (modeOf(counter)) {
      case Mode.rateGenerator:
        count = initial - (elapsed % initial);
        break;
      case Mode.squareWave:
        // It counts in steps of two, twice a period.
        count = initial - (initial & 1) - ((2 * elapsed) % Math.max(initial - (initial & 1), 2));
        break;
      default:
        count = (((initial - elapsed) % range) + range) % range;
    }
    return (counter.control & BCD) === 0 ? count & 0xffff : toBcd(count % range);
  }

  #isHigh(counter: Counter, now: number): boolean {
    const mode = modeOf(counter);
    if (counter.isCounting === 0) return mode !== Mode.terminalCount;
    const initial = counter.lastCount + 1;
    const elapsed = this.#elapsed(counter, now);
    switch (mode) {
      case Mode.terminalCount:
      case Mode.oneShot:
        return elapsed >= initial;
      case Mode.rateGenerator:
        return counter.isPaused !== 0 || elapsed % initial !== initial - 1;
      case Mode.squareWave:
        return counter.isPaused !== 0 || elapsed % initial < (initial + 1) >>> 1;
      default:
        return elapsed !== initial;
    }
  }

  /** Rising edges of the output since the count began. */
  #edges(counter: Counter, now: number): number {
    if (counter.isCounting === 0) return 0;
    const initial = counter.lastCount + 1;
    const elapsed = this.#elapsed(counter, now);
    switch (modeOf(counter)) {
      case Mode.rateGenerator:
      case Mode.squareWave:
        return Math.floor(elapsed / initial);
      case Mode.softwareStrobe:
      case Mode.hardwareStrobe:
        return elapsed > initial ? 1 : 0;
      default:
        return elapsed >= initial ? 1 : 0;
    }
  }

  /** When an edge comes, in ticks after the count began; undefined when it never does. */
  #ticksOfEdge(counter: Counter, edge: number): number | undefined {
    if (counter.isCounting === 0 || counter.isPaused !== 0) return undefined;
    const initial = counter.lastCount + 1;
    switch (modeOf(counter)) {
      case Mode.rateGenerator:
      case Mode.squareWave:
        return edge * initial;
      case Mode.softwareStrobe:
      case Mode.hardwareStrobe:
        return edge === 1 ? initial + 1 : undefined;
      default:
        return edge === 1 ? initial : undefined;
    }
  }
}

/** Port 0x61 of the timer. */
export class SystemControlPort implements BusDevice {
  readonly #timer: I8254;

  constructor(timer: I8254) {
    this.#timer = timer;
  }

  read(access: BusAccess): void {
    readBytes(access, () => this.#timer.readSystemControl());
  }

  write(access: BusAccess): void {
    writeBytes(access, (_offset, value) => this.#timer.writeSystemControl(value));
  }
}

function accessOf(counter: Counter): number {
  return (counter.control >>> ACCESS_SHIFT) & 3;
}

function modeOf(counter: Counter): number {
  const mode = (counter.control >>> MODE_SHIFT) & 7;
  return mode > Mode.hardwareStrobe ? mode - 4 : mode;
}

/** How many counts there are: a count of 0 stands for all of them. */
function rangeOf(counter: Counter): number {
  return (counter.control & BCD) === 0 ? 0x1_0000 : 10_000;
}

function fromBcd(value: number): number {
  return (
    (value & 0xf) + 10 * ((value >>> 4) & 0xf) + 100 * ((value >>> 8) & 0xf) + 1000 * ((value >>> 12) & 0xf)
  );
}

function toBcd(value: number): number {
  return (
    (value % 10) |
    ((Math.floor(value / 10) % 10) << 4) |
    ((Math.floor(value / 100) % 10) << 8) |
    ((Math.floor(value / 1000) % 10) << 12)
  );
}
