import { type CodeBuilder, type Local, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../layout.ts';
import { RegionExit } from './region-table.ts';

/**
 * How a region that is left goes on in the next one without the interpreter: a table of entries by virtual pc, valid under
 * one mapping. An entry is written when a region's pages are verified, and all are cleared when regions go away.
 */
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_ENTRY_SIZE = 32;
export const JumpCacheEntry = {
  /** Virtual address of the region's entry (u64); odd when there is none. */
  pc: 0,
  /** Parameters of the region's function (u64, i32), and its index in the table (i32). */
  base: 8,
  entry: 16,
  slot: 20,
  /** `mappingKey` under which all that was verified (i32). */
  mappingKey: 24,
} as const;

/** Offset in the hart's block of the cache entry for a pc, of which the low 32 bits are enough. */
export function jumpCacheOffset(pc: number): number {
  return HartBlock.jumpCache + ((pc >>> 1) & (JUMP_CACHE_ENTRIES - 1)) * JUMP_CACHE_ENTRY_SIZE;
}

export interface JumpLocals {
  readonly hart: Local;
  /** {@link RegionExit} (i32). */
  readonly exit: Local;
  /** Where to go on (i64). */
  readonly pc: Local;
  /** Scratch (i32). */
  readonly cacheEntry: Local;
}

/** Calls the region at a pc in place of returning, if the exit is `continue`, nothing is requested, and it is known. */
export function emitCachedJump(code: CodeBuilder, regionType: number, locals: JumpLocals): void {
  const { hart, exit, pc, cacheEntry } = locals;
  const entryBits = Math.log2(JUMP_CACHE_ENTRY_SIZE);
  code.get(exit).i32Const(RegionExit.continue).op(Op.i32Eq).if();
  code
    .get(pc)
    .op(Op.i32WrapI64)
    .i32Const(entryBits - 1)
    .op(Op.i32Shl);
  code
    .i32Const((JUMP_CACHE_ENTRIES - 1) << entryBits)
    .op(Op.i32And)
    .get(hart)
    .op(Op.i32Add)
    .tee(cacheEntry);
  code
    .memory(Op.i64Load, HartBlock.jumpCache + JumpCacheEntry.pc)
    .get(pc)
    .op(Op.i64Eq);
  code.get(cacheEntry).memory(Op.i32Load, HartBlock.jumpCache + JumpCacheEntry.mappingKey);
  code.get(hart).memory(Op.i32Load, HartBlock.mappingKey).op(Op.i32Eq).op(Op.i32And);
  code.get(hart).memory(Op.i32AtomicLoad, HartBlock.interruptRequest).op(Op.i32Eqz).op(Op.i32And);
  code.if();
  code.get(hart);
  code.get(cacheEntry).memory(Op.i32Load, HartBlock.jumpCache + JumpCacheEntry.entry);
  code.get(cacheEntry).memory(Op.i64Load, HartBlock.jumpCache + JumpCacheEntry.base);
  code.get(cacheEntry).memory(Op.i32Load, HartBlock.jumpCache + JumpCacheEntry.slot);
  code.returnCallIndirect(regionType);
  code.end().end();
}
