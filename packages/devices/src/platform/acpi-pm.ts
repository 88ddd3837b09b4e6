import { array, atomic, i32, SharedMutex, struct, u8, u16 } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

// The fixed hardware of ACPI 6.4, section 4.8.3 and 4.8.4, as a FADT describes it.

/** Bytes of GPE0: half of them status, half of them enable bits. */
export const ACPI_PM_GPE0_LENGTH = 64;
/** Offsets of the register blocks, for the FADT. */
export const ACPI_PM_EVENT_BLOCK = 0;
export const ACPI_PM_CONTROL_BLOCK = 4;
export const ACPI_PM_GPE0_BLOCK = 8;
/** I/O ports that the registers take. */
export const ACPI_PM_LENGTH = ACPI_PM_GPE0_BLOCK + ACPI_PM_GPE0_LENGTH;
/** General purpose events, numbered from 0. */
export const ACPI_PM_GPE_COUNT = (ACPI_PM_GPE0_LENGTH / 2) * 8;

/** SLP_TYP of the sleep states: what `_S1` and `_S5` have to say. They are crosvm's. */
export const ACPI_PM_SLEEP_TYPE = { s1: 1, s5: 0 } as const;

const PM1_STATUS = 0;
const PM1_ENABLE = 2;
const PM1_CONTROL = 4;
const GPE_STATUS = ACPI_PM_GPE0_BLOCK;
const GPE_ENABLE = ACPI_PM_GPE0_BLOCK + ACPI_PM_GPE0_LENGTH / 2;

/** PM1 status and enable bits. */
const GBL = 1 << 5;
const PWRBTN = 1 << 8;
const SLPBTN = 1 << 9;
const RTC = 1 << 10;
/** Only in the status register. */
const WAK = 1 << 15;
/** What can be enabled: there is no power management timer. */
const ENABLE_MASK = GBL | PWRBTN | SLPBTN | RTC;

/** PM1 control bits. The machine is always in ACPI mode, so SCI_EN is wired to one. */
const SCI_EN = 1 << 0;
const BM_RLD = 1 << 1;
const SLP_TYP_SHIFT = 10;
const SLP_TYP = 7 << SLP_TYP_SHIFT;
/** Write only. */
const SLP_EN = 1 << 13;

const registers = struct(
  {
    lock: atomic(i32),
    pm1Status: u16,
    pm1Enable: u16,
    pm1Control: u16,
    /** Asleep: WAK_STS is set when something wakes the machine. */
    asleep: u8,
    /** The level last given to the interrupt line. */
    lineLevel: u8,
    gpeStatus: array(u8, ACPI_PM_GPE0_LENGTH / 2),
    gpeEnable: array(u8, ACPI_PM_GPE0_LENGTH / 2),
  },
  { name: 'acpi-pm', version: 1 },
);

/** The power management registers as plain data. */
export interface AcpiPmDescriptor {
  readonly kind: 'acpi-pm';
  readonly state: SharedArrayBuffer;
  /** The SCI: a level-triggered input of the interrupt controller. */
  readonly interrupt: number;
}

/** Makes power management in its reset state. */
export function describeAcpiPm(options: { readonly interrupt: number }): AcpiPmDescriptor {
  return { kind: 'acpi-pm', state: new SharedArrayBuffer(registers.size), interrupt: options.interrupt };
}

/** What the guest asks of the machine by these registers; called on the thread of the vCPU that does. */
export interface AcpiPmRequests {
  readonly powerOff?: (detail: string) => void;
  /** Puts the machine to sleep, until {@link AcpiPm.wake}. Without it, a sleep is over at once. */
  readonly suspend?: (detail: string) => void;
}

/**
 * Power management: buttons and other events that raise the SCI, sleep states, general purpose events. The thread that
 * runs the machine attaches one to press buttons.
 */
export class AcpiPm implements BusDevice {
  readonly #registers;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;
  readonly #requests: AcpiPmRequests;

  constructor(descriptor: AcpiPmDescriptor, line: InterruptLine, requests: AcpiPmRequests = {}) {
    this.#registers = registers.attach(descriptor.state);
    this.#mutex = new SharedMutex(this.#registers.lock);
    this.#line = line;
    this.#requests = requests;
  }

  read(access: BusAccess): void {
    this.#locked(() => readBytes(access, (offset) => this.#readByte(offset)));
  }

  write(access: BusAccess): void {
    let request: (() => void) | undefined;
    this.#locked(() => {
      writeBytes(access, (offset, value) => {
        request = this.#writeByte(offset, value) ?? request;
      });
    });
    // Without the lock: whoever is asked may want to press a button.
    request?.();
  }

  /** Presses the power button: the guest is told, or woken. */
  pressPowerButton(): void {
    this.#raise(PWRBTN);
  }

  /** Presses the sleep button. */
  pressSleepButton(): void {
    this.#raise(SLPBTN);
  }

  /** Tells of an alarm of the real time clock. */
  raiseRtcAlarm(): void {
    this.#raise(RTC);
  }

  /**
   * Raises a general purpose event.
   * @param event 0 to {@link ACPI_PM_GPE_COUNT} - 1
   */
  raiseGpe(event: number): void {
    this.#locked(() => {
      const { gpeStatus } = this.#registers;
      gpeStatus[event >>> 3] = (gpeStatus[event >>> 3] ?? 0) | (1 << (event & 7));
      this.#wake();
    });
  }

  /** Ends a sleep, if there is one. */
  wake(): void {
    this.#locked(() => this.#wake());
  }

  #raise(event: number): void {
    this.#locked(() => {
      this.#registers.pm1Status |= event;
      this.#wake();
    });
  }

  #wake(): void {
    const r = this.#registers;
    if (r.asleep !== 0) r.pm1Status |= WAK;
    r.asleep = 0;
  }

  #locked(action: () => void): void {
    this.#mutex.lock();
    try {
      action();
      this.#updateLine();
    } finally {
      this.#mutex.unlock();
    }
  }

  #readByte(offset: number): number {
    const r = this.#registers;
    if (offset >= GPE_ENABLE) return r.gpeEnable[offset - GPE_ENABLE] ?? 0;
    if (offset >= GPE_STATUS) return r.gpeStatus[offset - GPE_STATUS] ?? 0;
    const shift = 8 * (offset & 1);
    switch (offset & ~1) {
      case PM1_STATUS:
        return r.pm1Status >>> shift;
      case PM1_ENABLE:
        return r.pm1Enable >>> shift;
      case PM1_CONTROL:
        return (r.pm1Control | SCI_EN) >>> shift;
      default:
        return 0;
    }
  }

  /** @returns what is to be asked of the machine, if anything */
  #writeByte(offset: number, value: number): (() => void) | undefined {
    const r = this.#registers;
    if (offset >= GPE_ENABLE) {
      r.gpeEnable[offset - GPE_ENABLE] = value;
      return undefined;
    }
    if (offset >= GPE_STATUS) {
      r.gpeStatus[offset - GPE_STATUS] = (r.gpeStatus[offset - GPE_STATUS] ?? 0) & ~value;
      return undefined;
    }
    const shift = 8 * (offset & 1);
    const bits = value << shift;
    const mask = 0xff << shift;
    switch (offset & ~1) {
      case PM1_STATUS:
        r.pm1Status &= ~bits;
        return undefined;
      case PM1_ENABLE:
        r.pm1Enable = ((r.pm1Enable & ~mask) | bits) & ENABLE_MASK;
        return undefined;
      case PM1_CONTROL:
        r.pm1Control = ((r.pm1Control & ~mask) | bits) & (BM_RLD | SLP_TYP);
        return (bits & SLP_EN) === 0 ? undefined : this.#sleep();
      default:
        return undefined;
    }
  }

  #sleep(): (() => void) | undefined {
    const r = this.#registers;
    const { powerOff, suspend } = this.#requests;
    switch ((r.pm1Control & SLP_TYP) >>> SLP_TYP_SHIFT) {
      case ACPI_PM_SLEEP_TYPE.s5:
        return () => powerOff?.('the guest turned itself off (ACPI S5)');
      case ACPI_PM_SLEEP_TYPE.s1:
        r.asleep = 1;
        if (suspend === undefined) this.#wake();
        return () => suspend?.('the guest went to sleep (ACPI S1)');
      default:
        // The DSDT names no other sleep state.
        return undefined;
    }
  }

  #updateLine(): void {
    const r = this.#registers;
    const isPending =
      (r.pm1Status & r.pm1Enable) !== 0 ||
      r.gpeStatus.some((status, index) => (status & (r.gpeEnable[index] ?? 0)) !== 0);
    const level = isPending ? 1 : 0;
    if (level === r.lineLevel) return;
    r.lineLevel = level;
    this.#line.set(isPending);
  }
}
