import type { HartStates } from './hart-states.ts';

/** Extension ids (RISC-V SBI 2.0). */
export const SbiExtension = {
  base: 0x10,
  time: 0x5449_4d45,
  ipi: 0x0073_5049,
  rfence: 0x5246_4e43,
  hsm: 0x0048_534d,
  srst: 0x5352_5354,
  dbcn: 0x4442_434e,
} as const;

/** Standard errors (SBI 2.0, table 1). */
export const SbiError = {
  success: 0,
  failed: -1,
  notSupported: -2,
  invalidParameter: -3,
  denied: -4,
  invalidAddress: -5,
  alreadyAvailable: -6,
  alreadyStarted: -7,
  alreadyStopped: -8,
} as const;

/** States of the hart state management extension (SBI 2.0, table 8). */
export const HartState = {
  started: 0,
  stopped: 1,
  startPending: 2,
  stopPending: 3,
  suspended: 4,
} as const;

const SPECIFICATION_VERSION = 2 << 24;
/** No id is registered for this implementation: the largest value says "other". */
const IMPLEMENTATION_ID = 0x7fff_ffff;
const IMPLEMENTATION_VERSION = 1;

const SUPPORTED: ReadonlySet<number> = new Set(Object.values(SbiExtension));

const RESET_SHUTDOWN = 0;
const RESET_WARM_REBOOT = 2;
const RESET_REASON_SYSTEM_FAILURE = 1;

const SUSPEND_RETENTIVE = 0;
const SUSPEND_NON_RETENTIVE = 0x8000_0000;

/** The calling hart: argument registers as pairs of 32-bit words, and what a call can make it do. */
export interface SbiHart {
  readonly id: number;
  /** Bits 31:0 of register x`number`, unsigned. */
  registerLow(number: number): number;
  /** Bits 63:32 of register x`number`, unsigned. */
  registerHigh(number: number): number;
  setRegister(number: number, low: number, high: number): void;
  /** Sets `stimecmp`, which also takes the timer interrupt back until then. */
  setTimer(low: number, high: number): void;
  /** Waits as WFI does. */
  waitForInterrupt(): void;
  /** Starts anew at an address as after `hart_start`: a0 the hart's id, a1 the opaque value, translation and interrupts off. */
  restart(pc: number, opaqueLow: number, opaqueHigh: number): void;
  /** Leaves the guest until it is started again. */
  park(): void;
}

export interface FenceRange {
  readonly kind: 'fence.i' | 'sfence.vma';
  /** Virtual addresses as (low, high) words; a size of all ones, or 0 with a start of 0, is everything. */
  readonly startLow: number;
  readonly startHigh: number;
  readonly sizeLow: number;
  readonly sizeHigh: number;
  /** Address space, or -1 for all. */
  readonly asid: number;
}

/** What calls do to the rest of the machine. */
export interface SbiMachine {
  readonly hartCount: number;
  readonly states: HartStates;
  /** Makes the supervisor software interrupt of a hart pending. */
  raiseSoftwareInterrupt(hart: number): void;
  /** Has the fence executed by the harts, and returns when it was. */
  remoteFence(harts: readonly number[], fence: FenceRange): void;
  shutdown(reason: 'shutdown' | 'reset' | 'crash', detail: string): void;
  /** @returns bytes taken, or undefined when the range is not guest memory */
  debugConsoleWrite(address: number, length: number): number | undefined;
  debugConsoleWriteByte(byte: number): void;
  isGuestMemory(address: number, length: number): boolean;
}

const A0 = 10;
const A1 = 11;
const A6 = 16;
const A7 = 17;

/**
 * The supervisor binary interface (RISC-V SBI 2.0) that a virtual machine offers its guest: base, timer, IPI, remote
 * fences, hart state management, system reset and debug console.
 *
 * Runs on the thread of the calling hart.
 */
export class Sbi {
  readonly #machine: SbiMachine;

  constructor(machine: SbiMachine) {
    this.#machine = machine;
  }

  /** Does the `ecall` of a hart: extension in a7, function in a6, result in a0 (error) and a1 (value). */
  call(hart: SbiHart): void {
    const extension = hart.registerLow(A7) | 0;
    const fid = hart.registerLow(A6);
    switch (extension) {
      case SbiExtension.base:
        this.#base(hart, fid);
        return;
      case SbiExtension.time:
        if (fid === 0) {
          hart.setTimer(hart.registerLow(A0), hart.registerHigh(A0));
          answer(hart, SbiError.success);
          return;
        }
        break;
      case SbiExtension.ipi:
        if (fid === 0) {
          this.#forHarts(hart, (targets) => {
            for (const target of targets) {
              this.#machine.raiseSoftwareInterrupt(target);
            }
          });
          return;
        }
        break;
      case SbiExtension.rfence:
        this.#remoteFence(hart, fid);
        return;
      case SbiExtension.hsm:
        this.#hartState(hart, fid);
        return;
      case SbiExtension.srst:
        this.#systemReset(hart, fid);
        return;
      case SbiExtension.dbcn:
        this.#debugConsole(hart, fid);
        return;
    }
    answer(hart, SbiError.notSupported);
  }

  #base(hart: SbiHart, fid: number): void {
    switch (fid) {
      case 0:
        answer(hart, SbiError.success, SPECIFICATION_VERSION);
        return;
      case 1:
        answer(hart, SbiError.success, IMPLEMENTATION_ID);
        return;
      case 2:
        answer(hart, SbiError.success, IMPLEMENTATION_VERSION);
        return;
      case 3:
        answer(
          hart,
          SbiError.success,
          SUPPORTED.has(hart.registerLow(A0)) && hart.registerHigh(A0) === 0 ? 1 : 0,
        );
        return;
      case 4:
      case 5:
      case 6:
        // mvendorid, marchid, mimpid: zero is "not implemented".
        answer(hart, SbiError.success, 0);
        return;
      default:
        answer(hart, SbiError.notSupported);
    }
  }

  #remoteFence(hart: SbiHart, fid: number): void {
    if (fid > 2) {
      // The others are for guests of this guest, which the machine has no hypervisor extension for.
      answer(hart, SbiError.notSupported);
      return;
    }
    const fence: FenceRange = {
      kind: fid === 0 ? 'fence.i' : 'sfence.vma',
      startLow: hart.registerLow(12),
      startHigh: hart.registerHigh(12),
      sizeLow: hart.registerLow(13),
      sizeHigh: hart.registerHigh(13),
      asid: fid === 2 ? hart.registerLow(14) & 0xffff : -1,
    };
    this.#forHarts(hart, (targets) => this.#machine.remoteFence(targets, fence));
  }

  #hartState(hart: SbiHart, fid: number): void {
    const { states, hartCount } = this.#machine;
    const target = registerNumber(hart, A0);
    switch (fid) {
      case 0: {
        if (target >= hartCount) {
          answer(hart, SbiError.invalidParameter);
          return;
        }
        const start = registerNumber(hart, A1);
        if (!this.#machine.isGuestMemory(start, 2) || start % 2 !== 0) {
          answer(hart, SbiError.invalidAddress);
          return;
        }
        const started = states.start(target, start, hart.registerLow(12), hart.registerHigh(12));
        answer(hart, started ? SbiError.success : SbiError.alreadyAvailable);
        return;
      }
      case 1:
        hart.park();
        return;
      case 2:
        if (target >= hartCount) {
          answer(hart, SbiError.invalidParameter);
          return;
        }
        answer(hart, SbiError.success, states.get(target));
        return;
      case 3:
        this.#suspend(hart);
        return;
      default:
        answer(hart, SbiError.notSupported);
    }
  }

  #suspend(hart: SbiHart): void {
    const type = hart.registerLow(A0);
    const { states } = this.#machine;
    if (type === SUSPEND_RETENTIVE) {
      states.set(hart.id, HartState.suspended);
      hart.waitForInterrupt();
      states.set(hart.id, HartState.started);
      answer(hart, SbiError.success);
    } else if (type === SUSPEND_NON_RETENTIVE) {
      const resume = registerNumber(hart, A1);
      if (!this.#machine.isGuestMemory(resume, 2) || resume % 2 !== 0) {
        answer(hart, SbiError.invalidAddress);
        return;
      }
      const [opaqueLow, opaqueHigh] = [hart.registerLow(12), hart.registerHigh(12)];
      states.set(hart.id, HartState.suspended);
      hart.waitForInterrupt();
      states.set(hart.id, HartState.started);
      hart.restart(resume, opaqueLow, opaqueHigh);
    } else {
      const reserved =
        (type > 0 && type < 0x1000_0000) || (type > SUSPEND_NON_RETENTIVE && type < 0x9000_0000);
      answer(hart, reserved ? SbiError.invalidParameter : SbiError.notSupported);
    }
  }

  #systemReset(hart: SbiHart, fid: number): void {
    if (fid !== 0) {
      answer(hart, SbiError.notSupported);
      return;
    }
    const type = hart.registerLow(A0);
    const reason = hart.registerLow(A1);
    if (type > RESET_WARM_REBOOT || reason > RESET_REASON_SYSTEM_FAILURE) {
      answer(hart, SbiError.invalidParameter);
      return;
    }
    if (reason === RESET_REASON_SYSTEM_FAILURE) {
      this.#machine.shutdown('crash', 'the guest reported a system failure (SBI SRST)');
    } else if (type === RESET_SHUTDOWN) {
      this.#machine.shutdown('shutdown', 'the guest powered off (SBI SRST)');
    } else {
      this.#machine.shutdown('reset', 'the guest asked for a reboot (SBI SRST)');
    }
    answer(hart, SbiError.success);
  }

  #debugConsole(hart: SbiHart, fid: number): void {
    const length = registerNumber(hart, A0);
    const address = registerNumber(hart, A1);
    switch (fid) {
      case 0: {
        const high = hart.registerLow(12) | hart.registerHigh(12);
        const taken = high === 0 ? this.#machine.debugConsoleWrite(address, length) : undefined;
        answer(hart, taken === undefined ? SbiError.invalidParameter : SbiError.success, taken ?? 0);
        return;
      }
      case 1:
        // Nothing is ever typed on the debug console: zero bytes were read.
        answer(
          hart,
          this.#machine.isGuestMemory(address, length) ? SbiError.success : SbiError.invalidParameter,
        );
        return;
      case 2:
        this.#machine.debugConsoleWriteByte(hart.registerLow(A0) & 0xff);
        answer(hart, SbiError.success);
        return;
      default:
        answer(hart, SbiError.notSupported);
    }
  }

  /** Resolves hart mask (a0) and its base (a1), and answers for the call (SBI 2.0, section 3.1). */
  #forHarts(hart: SbiHart, action: (targets: number[]) => void): void {
    const { hartCount } = this.#machine;
    const everyone = (hart.registerLow(A1) & hart.registerHigh(A1)) >>> 0 === 0xffff_ffff;
    const targets: number[] = [];
    if (everyone) {
      for (let id = 0; id < hartCount; id++) {
        targets.push(id);
      }
    } else {
      const base = registerNumber(hart, A1);
      for (let bit = 0; bit < 64; bit++) {
        const word = bit < 32 ? hart.registerLow(A0) : hart.registerHigh(A0);
        if ((word & (1 << (bit & 31))) === 0) {
          continue;
        }
        if (base + bit >= hartCount) {
          answer(hart, SbiError.invalidParameter);
          return;
        }
        targets.push(base + bit);
      }
    }
    action(targets);
    answer(hart, SbiError.success);
  }
}

function answer(hart: SbiHart, error: number, value = 0): void {
  hart.setRegister(A0, error >>> 0, error < 0 ? 0xffff_ffff : 0);
  hart.setRegister(A1, value >>> 0, 0);
}

/** A register as a number; above 2^53 it loses low bits, and is out of every range that is checked. */
function registerNumber(hart: SbiHart, number: number): number {
  return hart.registerHigh(number) * 2 ** 32 + hart.registerLow(number);
}
