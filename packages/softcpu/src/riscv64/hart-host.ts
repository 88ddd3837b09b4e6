import type { Hart } from './hart.ts';

/** A guest access to a physical address that is not RAM. The object is reused: do not keep it. */
export interface PhysicalAccess {
  /** Guest-physical address: a multiple of `size`, below 2^53. */
  address: number;
  size: 1 | 2 | 4 | 8;
  /** The datum, little endian, in two unsigned words; `high` is 0 unless `size` is 8. */
  low: number;
  high: number;
}

/**
 * What a hart asks of its machine. Everything is called on the hart's own thread, from within {@link Hart.run}, and must not
 * throw: the hart's state would be lost half-way through an instruction.
 */
export interface HartHost {
  /**
   * Reads what is not RAM into `low` and `high`.
   *
   * @returns false if nothing is there: the guest gets a load access fault.
   */
  mmioRead(access: PhysicalAccess): boolean;
  /**
   * Writes what is not RAM.
   *
   * @returns false if nothing is there: the guest gets a store access fault.
   */
  mmioWrite(access: PhysicalAccess): boolean;
  /**
   * `ecall` from S-mode: an SBI call. The pc is already that of the next instruction, so {@link Hart.reset},
   * {@link Hart.waitForInterrupt} and {@link Hart.requestStop} may be called.
   */
  supervisorCall(hart: Hart): void;
  /** Ticks of `time`: an integer below 2^53 that never goes backwards. */
  readTime(): number;
  /**
   * Milliseconds from now until `time` reaches `deadline`, for waiting; at least 0, `Infinity` if never.
   */
  millisecondsUntil(deadline: number): number;
  /**
   * `stimecmp` was written: somebody has to set `Request.timer` when `time` reaches `deadline` (`Infinity`: never) while
   * the hart runs. While it waits it looks after itself.
   */
  timerChanged?(deadline: number): void;
}

/** Why {@link Hart.run} returned. */
export type HartStop =
  /** `Request.stop` was set. */
  'stopped';

/** What one hart asks of others, and of itself: SBI's RFENCE extension. */
export type Fence =
  /** `fence.i`. */
  | { readonly kind: 'instruction' }
  /** `sfence.vma` of `pages` pages from virtual page number `page` on; `Infinity` pages: everything. */
  | { readonly kind: 'address-space'; readonly page: number; readonly pages: number };

/** What the translator is told about hot code and about code that is no more. */
export interface HotCode {
  /** Guest-physical address of the instruction. */
  readonly physicalAddress: number;
  /** Address of its decoded entry in the WebAssembly memory. */
  readonly entry: number;
  /** Virtual page number of the instruction's page, of the 2^52 there are. */
  readonly virtualPage: number;
  /** 0 U, 1 S. */
  readonly privilege: number;
}

/** The other tier. Called on the hart's thread. */
export interface Translator {
  /** A jump target was taken `threshold` times. */
  hot(code: HotCode): void;
  /** `Request.translated` was set. */
  translated(): void;
  /**
   * Whether a region may be entered whose pages were last verified under another mapping.
   *
   * @param record offset of its `RegionRecord` in the WebAssembly memory; what was verified is written there
   * @param basePage virtual page number of its first page
   */
  verify(record: number, basePage: number): boolean;
  /** The code of a physical page changed: regions made from it are gone, their entries already are. */
  pageChanged(physicalPage: number): void;
  /** All decoded pages were dropped: no entry refers to a region any more. */
  flushed(): void;
}
