import { type BasicBlock, successorsOf } from './control-flow.ts';
import { Flow } from './region-architecture.ts';

/** Which guest registers a region has to do with. */
export interface RegisterUse {
  /** Read or written somewhere. */
  readonly used: ReadonlySet<number>;
  /** Written somewhere: stored when the region is left. */
  readonly written: ReadonlySet<number>;
  /** Needed before the region has written them, on some path from the entry: loaded when it is entered. */
  readonly loaded: ReadonlySet<number>;
}

/**
 * Finds the registers that a region loads and stores. All ways out store every register that the region writes anywhere,
 * so leaving counts as reading those.
 *
 * @param leavesAtStart whether the region may be left before a block's first instruction.
 */
export function analyseRegisters(
  blocks: ReadonlyMap<number, BasicBlock>,
  entry: number,
  leavesAtStart: (block: BasicBlock) => boolean,
): RegisterUse {
  const used = new Set<number>();
  const written = new Set<number>();
  for (const { instructions } of blocks.values()) {
    for (const { reads, writes } of instructions) {
      for (const register of reads) {
        used.add(register);
      }
      for (const register of writes) {
        used.add(register);
        written.add(register);
      }
    }
  }
  const summaries = new Map<number, Summary>();
  for (const block of blocks.values()) {
    summaries.set(block.offset, summarise(blocks, block, written, leavesAtStart(block)));
  }
  return { used, written, loaded: liveAt(entry, summaries) };
}

/** How many successors a block has if it cannot leave the region at its end; the other flows always can. */
const WAYS_ON: Readonly<Partial<Record<Flow, number>>> = {
  [Flow.next]: 1,
  [Flow.branch]: 2,
  [Flow.jump]: 1,
  [Flow.call]: 1,
};

interface Summary {
  /** Registers that the block may need before it writes them. */
  readonly needed: Set<number>;
  readonly killed: ReadonlySet<number>;
  readonly successors: readonly number[];
}

function summarise(
  blocks: ReadonlyMap<number, BasicBlock>,
  block: BasicBlock,
  written: ReadonlySet<number>,
  leavesAtStart: boolean,
): Summary {
  const needed = new Set<number>();
  const killed = new Set<number>();
  const need = (registers: Iterable<number>): void => {
    for (const register of registers) {
      if (!killed.has(register)) {
        needed.add(register);
      }
    }
  };
  if (leavesAtStart) {
    need(written);
  }
  for (const { reads, writes, mayLeave } of block.instructions) {
    need(reads);
    if (mayLeave) {
      need(written);
    }
    for (const register of writes) {
      killed.add(register);
    }
  }
  // Blocks end by leaving unless all that follows is in the region; a return may always lead elsewhere.
  const successors = successorsOf(blocks, block);
  if (successors.length < (WAYS_ON[block.flow] ?? Number.POSITIVE_INFINITY)) {
    need(written);
  }
  return { needed, killed, successors };
}

/** Iterates to the fixed point; what a block needs grows. */
function liveAt(entry: number, summaries: ReadonlyMap<number, Summary>): ReadonlySet<number> {
  const backward = [...summaries.values()].reverse();
  for (let changed = true; changed; ) {
    changed = false;
    for (const { needed, killed, successors } of backward) {
      const before = needed.size;
      for (const successor of successors) {
        for (const register of summaries.get(successor)?.needed ?? []) {
          if (!killed.has(register)) {
            needed.add(register);
          }
        }
      }
      changed ||= needed.size !== before;
    }
  }
  return summaries.get(entry)?.needed ?? new Set();
}
