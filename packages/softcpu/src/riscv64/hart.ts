import { HartBlock, Request } from '../core/layout.ts';
import type { SoftMemory } from '../core/memory.ts';
import type { Fence, HartHost, HartStop, Translator } from './hart-host.ts';

export interface HartOptions {
  /** Taken jumps to one target after which the translator is told; 0, the default, never. At most 65,535. */
  readonly hotThreshold?: number;
  /** Counts instructions in the hart's block, which costs a few per cent: for measurements. */
  readonly countInstructions?: boolean;
}

/** Privilege modes (privileged manual, 1.2). */
export const Privilege = { user: 0, supervisor: 1 } as const;

/**
 * One RV64GC hart without M-mode: what a guest sees of a machine whose firmware delegates everything. Its state is in its
 * block of the shared memory; this object runs it, on the thread that made it.
 */
export class Hart {
  readonly id: number;
  readonly memory: SoftMemory;
  /** Address of the hart's block in the WebAssembly memory. */
  readonly block: number;
  /** The other tier; may be set at any time before `run`. */
  translator: Translator | undefined;
  readonly #host: HartHost;
  readonly #u32: Uint32Array<SharedArrayBuffer>;

  constructor(memory: SoftMemory, id: number, host: HartHost, _options: HartOptions = {}) {
    this.memory = memory;
    this.id = id;
    this.block = memory.hartBlock(id);
    this.#host = host;
    this.#u32 = memory.u32;
  }

  /** Runs the guest until `Request.stop` is set (by {@link requestStop} or `SoftMemory.request`), which is then cleared. */
  run(): HartStop {
    throw new Error(`not yet: ${this.#host.readTime()}`);
  }

  /**
   * Puts the hart into the state in which SBI starts one (HSM extension, 9.1): S-mode, no translation, interrupts off.
   *
   * @param pc address of the first instruction
   * @param a0 hart id, by the boot protocol
   * @param a1 address of the device tree, or SBI's opaque parameter
   */
  reset(pc: number, a0: number, a1: number): void {
    this.#u32.fill(0, (this.block + HartBlock.x) >>> 2, (this.block + HartBlock.interruptRequest) >>> 2);
    this.#setWords(HartBlock.pc, pc);
    this.setRegister(10, a0);
    this.setRegister(11, a1);
  }

  /** Low word of x0–x31, unsigned. */
  registerLow(register: number): number {
    return this.#u32[(this.block + HartBlock.x + register * 8) >>> 2] ?? 0;
  }

  /** High word of x0–x31, unsigned. */
  registerHigh(register: number): number {
    return this.#u32[((this.block + HartBlock.x + register * 8) >>> 2) + 1] ?? 0;
  }

  /** x0–x31 as a number: exact below 2^53. */
  register(register: number): number {
    return this.registerHigh(register) * 0x1_0000_0000 + this.registerLow(register);
  }

  /** Sets x1–x31 to a safe integer; a negative one is sign-extended. */
  setRegister(register: number, value: number): void {
    if (register !== 0) {
      this.#setWords(HartBlock.x + register * 8, value);
    }
  }

  /** Sets x1–x31 to two unsigned words. */
  setRegisterWords(register: number, low: number, high: number): void {
    if (register !== 0) {
      const index = (this.block + HartBlock.x + register * 8) >>> 2;
      this.#u32[index] = low;
      this.#u32[index + 1] = high;
    }
  }

  /** Makes {@link run} return: at once if called from within one of the host's callbacks. */
  requestStop(): void {
    this.memory.request(this.id, Request.stop);
  }

  /** Waits, without spinning, until an interrupt is pending in `sip & sie` or there is another request: WFI. */
  waitForInterrupt(): void {}

  /** Does a fence on this hart. */
  localFence(_fence: Fence): void {}

  /** Does a fence on other harts (and on this one if it is among them) and returns when all have done it. */
  remoteFence(_harts: Iterable<number>, _fence: Fence): void {}

  /** Makes the software interrupt of a hart pending (sip.SSIP), from any thread: SBI's IPI extension. */
  static sendSoftwareInterrupt(memory: SoftMemory, hart: number): void {
    Atomics.or(memory.i32, (memory.hartBlock(hart) + HartBlock.sip) >>> 2, 2);
    memory.request(hart, Request.interrupt);
  }

  #setWords(offset: number, value: number): void {
    const index = (this.block + offset) >>> 2;
    this.#u32[index] = value;
    this.#u32[index + 1] = Math.floor(value / 0x1_0000_0000);
  }
}
