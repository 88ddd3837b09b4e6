import { HartBlock } from '../core/layout.ts';
import type { SoftMemory } from '../core/memory.ts';
import { RiscvBlock } from './block.ts';
import { CsrKind } from './csr-access.ts';
import { imsicClaim, imsicInterrupts, imsicModify, imsicRead, imsicTop } from './imsic.ts';
import { Outcome } from './machine-code.ts';
import { Csr, Interrupt, Status, TranslationMode } from './registers.ts';

/** What CSRs need of their hart. */
export interface CsrOwner {
  readTime(): number;
  /** stimecmp changed: the pending bit is up to date. */
  timerChanged(deadline: number): void;
  /** satp changed. */
  addressSpaceChanged(): void;
  /** An interrupt may have become pending or enabled. */
  checkInterrupts(): void;
}

const TWO_32 = 0x1_0000_0000;
const FFLAGS_MASK = 0x1f;
const FRM_MASK = 7;
/** CY, TM, IR: the counters that exist. */
const COUNTEREN_MASK = 7;
/** senvcfg.FIOM, CBIE, CBCFE, CBZE. */
const ENVCFG_MASK = 0xf1;
const SELECT_MASK = 0xfff;
/** satp: MODE from bit 60, ASID from bit 44 (16 bits), PPN (44 bits), as words. */
const SATP_MODE_SHIFT = 28;
/** Priorities of supervisor interrupts that `sireg` shows (AIA 2.4.2): all 0, on the even numbers only. */
const IPRIO_FIRST = 0x30;
const IPRIO_LAST = 0x3f;

/** Major interrupts in the order in which they are taken (privileged manual, 12.1.3). */
const PRIORITY_ORDER = [Interrupt.external, Interrupt.software, Interrupt.timer];

/**
 * The CSRs that are not handled in WebAssembly, and the interrupts pending. Values go through the block as two words:
 * `RiscvBlock.csrValue`, and `csrOperand` for the bits to set or clear.
 */
export class CsrFile {
  readonly #memory: SoftMemory;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  readonly #block: number;
  readonly #owner: CsrOwner;
  /** What `stopei` showed last: what a write to it claims. */
  #topExternal = 0;

  constructor(memory: SoftMemory, block: number, owner: CsrOwner) {
    this.#memory = memory;
    this.#u32 = memory.u32;
    this.#block = block;
    this.#owner = owner;
  }

  /** Reads a CSR to `csrValue`. @returns whether it exists and may be read now. */
  read(number: number): boolean {
    switch (number) {
      case Csr.fflags:
        return this.#floatIsOn() && this.#give(this.#low(HartBlock.fflags));
      case Csr.frm:
        return this.#floatIsOn() && this.#give(this.#low(HartBlock.frm));
      case Csr.fcsr:
        return this.#floatIsOn() && this.#give(this.#low(HartBlock.fflags) | (this.#low(HartBlock.frm) << 5));
      case Csr.scounteren:
        return this.#giveField(HartBlock.scounteren);
      case Csr.senvcfg:
        return this.#giveField(HartBlock.senvcfg);
      case Csr.satp:
        return this.#giveField(HartBlock.satp);
      case Csr.stimecmp:
        return this.#giveField(HartBlock.stimecmp);
      case Csr.siselect:
        return this.#giveField(HartBlock.siselect);
      case Csr.sip:
        this.updatePending();
        return this.#giveField(HartBlock.sip);
      case Csr.sireg:
        return this.#readIndirect();
      case Csr.stopei:
        this.#topExternal = imsicTop(this.#memory, this.#block);
        return this.#give((this.#topExternal << 16) | this.#topExternal);
      case Csr.stopi: {
        this.updatePending();
        const top = this.pendingInterrupt();
        // Priority 1: all of iprio is read-only zero (AIA 5.4.2).
        return this.#give(top === 0 ? 0 : (top << 16) | 1);
      }
      case Csr.cycle:
      case Csr.time:
      case Csr.instret:
        return this.#counterIsReadable(number) && this.#giveNumber(this.#owner.readTime());
      default:
        return false;
    }
  }

  /**
   * Writes `csrValue` to a CSR that was read just before.
   *
   * @param kind `CsrKind` of the instruction
   * @returns `Outcome`
   */
  write(number: number, kind: number): number {
    const low = this.#low(RiscvBlock.csrValue);
    const high = this.#high(RiscvBlock.csrValue);
    switch (number) {
      case Csr.fflags:
        this.#setFloatState(low, this.#low(HartBlock.frm));
        return Outcome.next;
      case Csr.frm:
        this.#setFloatState(this.#low(HartBlock.fflags), low);
        return Outcome.next;
      case Csr.fcsr:
        this.#setFloatState(low, low >>> 5);
        return Outcome.next;
      case Csr.scounteren:
        this.#set(HartBlock.scounteren, low & COUNTEREN_MASK, 0);
        return Outcome.next;
      case Csr.senvcfg:
        this.#set(HartBlock.senvcfg, low & ENVCFG_MASK, 0);
        return Outcome.next;
      case Csr.siselect:
        this.#set(HartBlock.siselect, low & SELECT_MASK, 0);
        return Outcome.next;
      case Csr.satp:
        return this.#writeSatp(low, high);
      case Csr.stimecmp:
        this.setTimer(low, high);
        return Outcome.resume;
      case Csr.sip:
        this.#setPending(Interrupt.software, (low & (1 << Interrupt.software)) !== 0);
        this.#owner.checkInterrupts();
        return Outcome.resume;
      case Csr.sireg:
        return this.#writeIndirect(kind, low, high);
      case Csr.stopei:
        if (this.#topExternal !== 0) {
          imsicClaim(this.#memory, this.#block, this.#topExternal);
        }
        this.updatePending();
        return Outcome.next;
      default:
        return Outcome.illegal;
    }
  }

  /** Sets `stimecmp`, and the timer interrupt as it wants it. */
  setTimer(low: number, high: number): void {
    this.#set(HartBlock.stimecmp, low, high);
    this.updatePending();
    this.#owner.timerChanged(this.deadline());
    this.#owner.checkInterrupts();
  }

  /** Ticks of `time` at which the timer interrupt becomes pending. */
  deadline(): number {
    const low = this.#low(HartBlock.stimecmp);
    const high = this.#high(HartBlock.stimecmp);
    return low === 0xffff_ffff && high === 0xffff_ffff ? Number.POSITIVE_INFINITY : high * TWO_32 + low;
  }

  /** Makes sip's read-only bits agree with the clock and the interrupt file. */
  updatePending(): void {
    this.#setPending(Interrupt.timer, this.#owner.readTime() >= this.deadline());
    this.#setPending(Interrupt.external, imsicInterrupts(this.#memory, this.#block));
  }

  /** The interrupt of highest priority that is pending and enabled in sie, or 0. */
  pendingInterrupt(): number {
    const active = this.#low(HartBlock.sip) & this.#low(HartBlock.sie);
    return PRIORITY_ORDER.find((interrupt) => (active & (1 << interrupt)) !== 0) ?? 0;
  }

  #low(field: number): number {
    return this.#u32[(this.#block + field) >>> 2] ?? 0;
  }

  #high(field: number): number {
    return this.#u32[((this.#block + field) >>> 2) + 1] ?? 0;
  }

  #set(field: number, low: number, high: number): void {
    const index = (this.#block + field) >>> 2;
    this.#u32[index] = low;
    this.#u32[index + 1] = high;
  }

  #give(low: number, high = 0): true {
    this.#set(RiscvBlock.csrValue, low, high);
    return true;
  }

  #giveField(field: number): true {
    return this.#give(this.#low(field), this.#high(field));
  }

  #giveNumber(value: number): true {
    return this.#give(value % TWO_32, Math.floor(value / TWO_32));
  }

  #floatIsOn(): boolean {
    return (this.#low(HartBlock.sstatus) & Status.fs) !== 0;
  }

  #setFloatState(flags: number, mode: number): void {
    this.#u32[(this.#block + HartBlock.fflags) >>> 2] = flags & FFLAGS_MASK;
    this.#u32[(this.#block + HartBlock.frm) >>> 2] = mode & FRM_MASK;
    this.#u32[(this.#block + HartBlock.sstatus) >>> 2] = this.#low(HartBlock.sstatus) | Status.fs;
  }

  /** S-mode may always, as though mcounteren were all ones; U-mode if scounteren says so. */
  #counterIsReadable(number: number): boolean {
    const bit = 1 << (number - Csr.cycle);
    return this.#low(HartBlock.privilege) !== 0 || (this.#low(HartBlock.scounteren) & bit) !== 0;
  }

  /** Other threads set SSIP in the same word. */
  #setPending(interrupt: number, pending: boolean): void {
    const index = (this.#block + HartBlock.sip) >>> 2;
    const bit = 1 << interrupt;
    if (((Atomics.load(this.#memory.i32, index) & bit) !== 0) !== pending) {
      if (pending) {
        Atomics.or(this.#memory.i32, index, bit);
      } else {
        Atomics.and(this.#memory.i32, index, ~bit);
      }
    }
  }

  /** A mode that does not exist leaves satp as it is (12.1.11). */
  #writeSatp(low: number, high: number): number {
    const mode = high >>> SATP_MODE_SHIFT;
    if (!Object.values<number>(TranslationMode).includes(mode)) {
      return Outcome.next;
    }
    this.#set(HartBlock.satp, low, high);
    this.#owner.addressSpaceChanged();
    return Outcome.resume;
  }

  #readIndirect(): boolean {
    const select = this.#low(HartBlock.siselect);
    if (select >= IPRIO_FIRST && select <= IPRIO_LAST) {
      return (select & 1) === 0 && this.#give(0);
    }
    const value = imsicRead(this.#memory, this.#block, select);
    return value !== undefined && this.#give(value[0], value[1]);
  }

  #writeIndirect(kind: number, low: number, high: number): number {
    const operandLow = this.#low(RiscvBlock.csrOperand);
    const operandHigh = this.#high(RiscvBlock.csrOperand);
    const nothing = [0, 0] as const;
    const operand = [operandLow, operandHigh] as const;
    const select = this.#low(HartBlock.siselect);
    if (kind === CsrKind.set) {
      imsicModify(this.#memory, this.#block, select, nothing, operand);
    } else if (kind === CsrKind.clear) {
      imsicModify(this.#memory, this.#block, select, operand, nothing);
    } else {
      imsicModify(this.#memory, this.#block, select, [-1, -1], [low, high]);
    }
    this.updatePending();
    this.#owner.checkInterrupts();
    return Outcome.resume;
  }
}
