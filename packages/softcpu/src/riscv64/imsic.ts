import { HartBlock, Request } from '../core/layout.ts';
import type { SoftMemory } from '../core/memory.ts';

/**
 * The S-mode interrupt file of a hart (Advanced Interrupt Architecture, chapter 3): in the hart's block, so that any thread
 * delivers a message with two atomic operations.
 */
export const ImsicBlock = {
  /** eidelivery: 0 or 1 (i32). */
  delivery: HartBlock.imsic,
  /** eithreshold: identities from it on do not interrupt; 0 none (i32). */
  threshold: HartBlock.imsic + 4,
  /** eip0–eip63, 32 identities each (i32, atomic). */
  pending: HartBlock.imsic + 8,
  /** eie0–eie63. */
  enabled: HartBlock.imsic + 8 + 64 * 4,
} as const;

/** Identities 1 to 2047 exist: the most that an interrupt file can have (3.1). */
export const IMSIC_IDENTITIES = 2047;

const WORDS = 64;

/**
 * Delivers a message-signalled interrupt: what a write of `identity` to the interrupt file's `seteipnum_le` does (3.5).
 * Identities that do not exist are ignored, as there. To be called from any thread.
 */
export function imsicSend(memory: SoftMemory, hart: number, identity: number): void {
  if (!Number.isInteger(identity) || identity < 1 || identity > IMSIC_IDENTITIES) {
    return;
  }
  const word = (memory.hartBlock(hart) + ImsicBlock.pending + (identity >>> 5) * 4) >>> 2;
  Atomics.or(memory.i32, word, 1 << (identity & 31));
  memory.request(hart, Request.interrupt);
}

/**
 * The identity to be served: the lowest that is pending, enabled and below the threshold (3.10), or 0.
 *
 * @param block address of the hart's block
 */
export function imsicTop(memory: SoftMemory, block: number): number {
  const { i32 } = memory;
  const threshold = i32[(block + ImsicBlock.threshold) >>> 2] ?? 0;
  for (let word = 0; word < WORDS; word++) {
    const pending = Atomics.load(i32, (block + ImsicBlock.pending + word * 4) >>> 2);
    const active = pending & (i32[(block + ImsicBlock.enabled + word * 4) >>> 2] ?? 0);
    if (active !== 0) {
      const identity = word * 32 + 31 - Math.clz32(active & -active);
      return threshold === 0 || identity < threshold ? identity : 0;
    }
  }
  return 0;
}

/** Whether the interrupt file asserts the hart's supervisor external interrupt: something to serve, and delivery on. */
export function imsicInterrupts(memory: SoftMemory, block: number): boolean {
  return memory.i32[(block + ImsicBlock.delivery) >>> 2] === 1 && imsicTop(memory, block) !== 0;
}

/** Makes an identity no longer pending: a write of `stopei` (3.10). */
export function imsicClaim(memory: SoftMemory, block: number, identity: number): void {
  const word = (block + ImsicBlock.pending + (identity >>> 5) * 4) >>> 2;
  Atomics.and(memory.i32, word, ~(1 << (identity & 31)));
}

/** Registers that `siselect` can name (3.8). */
const EIDELIVERY = 0x70;
const EITHRESHOLD = 0x72;
const EIP0 = 0x80;
const EIE0 = 0xc0;

/** The words that an indirect register consists of; on RV64 the even eip and eie hold 64 bits and the odd do not exist. */
function registerWords(select: number): { offset: number; words: 1 | 2; maximum: number } | undefined {
  if (select === EIDELIVERY) {
    return { offset: ImsicBlock.delivery, words: 1, maximum: 1 };
  }
  if (select === EITHRESHOLD) {
    return { offset: ImsicBlock.threshold, words: 1, maximum: IMSIC_IDENTITIES };
  }
  if ((select & 1) !== 0) {
    return undefined;
  }
  if (select >= EIP0 && select < EIP0 + WORDS) {
    return { offset: ImsicBlock.pending + (select - EIP0) * 4, words: 2, maximum: -1 };
  }
  if (select >= EIE0 && select < EIE0 + WORDS) {
    return { offset: ImsicBlock.enabled + (select - EIE0) * 4, words: 2, maximum: -1 };
  }
  return undefined;
}

/** Reads `sireg`. @returns low and high word, or undefined if `siselect` names nothing. */
export function imsicRead(memory: SoftMemory, block: number, select: number): [number, number] | undefined {
  const register = registerWords(select);
  if (register === undefined) {
    // 0x71 and 0x73–0x7f are reserved and read as 0 (3.8).
    return select >= EIDELIVERY && select < EIP0 ? [0, 0] : undefined;
  }
  const index = (block + register.offset) >>> 2;
  return [
    Atomics.load(memory.i32, index) >>> 0,
    register.words === 2 ? Atomics.load(memory.i32, index + 1) >>> 0 : 0,
  ];
}

/**
 * Changes bits of `sireg`: clears those of one pair of words and sets those of another, atomically for each word, so that no
 * message that arrives meanwhile is lost.
 *
 * @returns false if `siselect` names nothing.
 */
export function imsicModify(
  memory: SoftMemory,
  block: number,
  select: number,
  clear: readonly [number, number],
  set: readonly [number, number],
): boolean {
  const register = registerWords(select);
  if (register === undefined) {
    return select >= EIDELIVERY && select < EIP0;
  }
  const index = (block + register.offset) >>> 2;
  if (register.words === 1) {
    const value = ((memory.i32[index] ?? 0) & ~clear[0]) | set[0];
    // WARL: what cannot be held leaves the register as it is.
    if (value >= 0 && value <= register.maximum) {
      memory.i32[index] = value;
    }
    return true;
  }
  // Identity 0 does not exist: its bits are read-only zero.
  const existing = select === EIP0 || select === EIE0 ? ~1 : ~0;
  for (const half of [0, 1] as const) {
    Atomics.and(memory.i32, index + half, ~clear[half]);
    Atomics.or(memory.i32, index + half, half === 0 ? set[0] & existing : set[1]);
  }
  return true;
}
