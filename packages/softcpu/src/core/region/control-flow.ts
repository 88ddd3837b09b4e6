import { PAGE_SIZE } from '../layout.ts';
import {
  Flow,
  REGION_REACH,
  type RegionArchitecture,
  type RegionInstruction,
} from './region-architecture.ts';

/** A page of guest code, as it was when the region was made. */
export interface GuestPage {
  /** Number of the physical page: its address divided by the page's size. */
  readonly physicalPage: number;
  /** The page's contents: {@link PAGE_SIZE} bytes. */
  readonly bytes: Uint8Array;
  /** Whether the instruction at a byte offset was ever executed: what was not is left out. Missing: all were. */
  wasReached?(offset: number): boolean;
}

/** The page so many pages after (or before) the region's base, or undefined if its mapping is not known. */
export type FetchPage = (pageOffset: number) => GuestPage | undefined;

/** Guest code by offset from the region's base, and which pages of it were looked at. */
export class GuestCode {
  readonly #fetch: FetchPage;
  readonly #pages = new Map<number, GuestPage | undefined>();

  constructor(fetch: FetchPage) {
    this.#fetch = fetch;
  }

  page(pageOffset: number): GuestPage | undefined {
    if (!this.#pages.has(pageOffset)) {
      this.#pages.set(pageOffset, this.#fetch(pageOffset));
    }
    return this.#pages.get(pageOffset);
  }

  /** The byte at an offset, or undefined where the mapping is not known. */
  byte(offset: number): number | undefined {
    return this.page(Math.floor(offset / PAGE_SIZE))?.bytes[offset & (PAGE_SIZE - 1)];
  }

  wasReached(offset: number): boolean {
    const page = this.page(Math.floor(offset / PAGE_SIZE));
    return page !== undefined && (page.wasReached?.(offset & (PAGE_SIZE - 1)) ?? true);
  }
}

/** Instructions that are entered at the first and left at the last only, or by leaving the region. */
export interface BasicBlock<I extends RegionInstruction = RegionInstruction> {
  readonly offset: number;
  /** Not empty, except for a block that only leaves because of `stop`. */
  readonly instructions: readonly I[];
  /** How control leaves the block: the last instruction's flow. `stop`: the instruction at `next` is not in the block. */
  readonly flow: Flow;
  /** Offset of the instruction after the block. */
  readonly next: number;
  /** Offset that `branch`, `jump` and `call` lead to. */
  readonly target: number;
  /** Of a return: offsets of the instructions after the calls that it may answer. */
  readonly returnsTo: readonly number[];
}

export interface RegionPage {
  /** Pages from the region's base: any sign. */
  readonly pageOffset: number;
  readonly physicalPage: number;
}

/** The guest code that one function will be made of. */
export interface RegionCode<I extends RegionInstruction = RegionInstruction> {
  /** Blocks by offset; those that control reaches from the entry without leaving, and perhaps others. */
  readonly blocks: ReadonlyMap<number, BasicBlock<I>>;
  readonly entry: number;
  readonly instructionCount: number;
  readonly guestCode: GuestCode;
}

/** Calls that a return is compared with; the others leave the region. */
const MAXIMUM_RETURN_SITES = 6;

/**
 * Collects the code that direct branches, jumps and calls, and returns from those calls, reach from an entry, nearest
 * first.
 *
 * @param entry offset of the first instruction, within the base's page.
 * @param maximumInstructions where to stop; control that would go on from there leaves the region.
 * @returns undefined if nothing can be translated at the entry.
 */
export function discoverRegion<I extends RegionInstruction>(
  architecture: RegionArchitecture<I>,
  fetch: FetchPage,
  entry: number,
  maximumInstructions: number,
): RegionCode<I> | undefined {
  const guestCode = new GuestCode(fetch);
  const { instructions, leaders } = collect(architecture, guestCode, entry, maximumInstructions);
  const first = instructions.get(entry);
  if (first === undefined || first.flow === Flow.stop) {
    return undefined;
  }
  const blocks = new Map<number, BasicBlock<I>>();
  for (const leader of leaders) {
    const block = buildBlock(architecture, guestCode, instructions, leaders, leader);
    if (block !== undefined) {
      blocks.set(leader, block);
    }
  }
  connectReturns(blocks);
  return { blocks, entry, instructionCount: instructions.size, guestCode };
}

/** Follows straight-line code from each place that control may come to, breadth first. */
function collect<I extends RegionInstruction>(
  architecture: RegionArchitecture<I>,
  guestCode: GuestCode,
  entry: number,
  maximumInstructions: number,
): { instructions: Map<number, I>; leaders: Set<number> } {
  const instructions = new Map<number, I>();
  const leaders = new Set<number>();
  const work: number[] = [];
  const lead = (offset: number): void => {
    if (leaders.has(offset) || Math.abs(offset) > REGION_REACH) return;
    if (offset === entry || guestCode.wasReached(offset)) {
      leaders.add(offset);
      work.push(offset);
    }
  };
  lead(entry);
  for (let index = 0; index < work.length; index++) {
    let offset = work[index] ?? entry;
    let previous: I | undefined;
    while (instructions.size < maximumInstructions) {
      if (instructions.has(offset)) {
        leaders.add(offset);
        break;
      }
      const instruction = architecture.decode(guestCode, offset, previous);
      if (instruction === undefined) {
        break;
      }
      instructions.set(offset, instruction);
      const next = offset + instruction.length;
      if (instruction.flow !== Flow.next) {
        leadOn(instruction, next, lead);
        break;
      }
      previous = instruction;
      offset = next;
    }
  }
  return { instructions, leaders };
}

function leadOn(instruction: RegionInstruction, next: number, lead: (offset: number) => void): void {
  switch (instruction.flow) {
    case Flow.branch:
      lead(next);
      lead(instruction.target);
      return;
    case Flow.jump:
      lead(instruction.target);
      return;
    case Flow.call:
      lead(instruction.target);
      lead(next);
      return;
    default:
  }
}

function buildBlock<I extends RegionInstruction>(
  architecture: RegionArchitecture<I>,
  guestCode: GuestCode,
  instructions: ReadonlyMap<number, I>,
  leaders: ReadonlySet<number>,
  leader: number,
): BasicBlock<I> | undefined {
  const body: I[] = [];
  let offset = leader;
  for (;;) {
    let instruction = instructions.get(offset);
    if (instruction !== undefined && body.length === 0 && instruction.pairedWithPrevious) {
      instruction = architecture.decode(guestCode, offset, undefined);
    }
    if (instruction === undefined) {
      return body.length === 0
        ? undefined
        : {
            offset: leader,
            instructions: body,
            flow: Flow.next,
            next: offset,
            target: offset,
            returnsTo: [],
          };
    }
    if (instruction.flow === Flow.stop) {
      return {
        offset: leader,
        instructions: body,
        flow: Flow.stop,
        next: offset,
        target: offset,
        returnsTo: [],
      };
    }
    body.push(instruction);
    offset += instruction.length;
    if (instruction.flow !== Flow.next || leaders.has(offset)) {
      const { flow, target } = instruction;
      return { offset: leader, instructions: body, flow, next: offset, target, returnsTo: [] };
    }
  }
}

/** Offsets where control goes on in the same function: after a call, at the instruction that follows it. */
function withinFunction(block: BasicBlock): number[] {
  switch (block.flow) {
    case Flow.branch:
      return [block.next, block.target];
    case Flow.jump:
      return [block.target];
    case Flow.next:
    case Flow.call:
      return [block.next];
    default:
      return [];
  }
}

/** Gives each return the sites of the calls through which control can have come to it. */
function connectReturns<I extends RegionInstruction>(blocks: Map<number, BasicBlock<I>>): void {
  const returnsOf = new Map<number, readonly number[]>();
  const sites = new Map<number, number[]>();
  for (const call of blocks.values()) {
    if (call.flow !== Flow.call || !blocks.has(call.target) || !blocks.has(call.next)) {
      continue;
    }
    let returns = returnsOf.get(call.target);
    if (returns === undefined) {
      returns = findReturns(blocks, call.target);
      returnsOf.set(call.target, returns);
    }
    for (const offset of returns) {
      const known = sites.get(offset) ?? [];
      if (known.length < MAXIMUM_RETURN_SITES && !known.includes(call.next)) {
        sites.set(offset, [...known, call.next]);
      }
    }
  }
  for (const [offset, returnsTo] of sites) {
    const block = blocks.get(offset);
    if (block !== undefined) {
      blocks.set(offset, { ...block, returnsTo });
    }
  }
}

function findReturns(blocks: ReadonlyMap<number, BasicBlock>, entry: number): number[] {
  const seen = new Set<number>();
  const work = [entry];
  const returns: number[] = [];
  for (let offset = work.pop(); offset !== undefined; offset = work.pop()) {
    const block = blocks.get(offset);
    if (block === undefined || seen.has(offset)) {
      continue;
    }
    seen.add(offset);
    if (block.flow === Flow.return) {
      returns.push(offset);
    }
    work.push(...withinFunction(block));
  }
  return returns;
}

/** Offsets of the blocks that control may go to from a block, as far as they are in the region. */
export function successorsOf(blocks: ReadonlyMap<number, BasicBlock>, block: BasicBlock): number[] {
  switch (block.flow) {
    case Flow.branch:
      return [block.next, block.target].filter((offset) => blocks.has(offset));
    case Flow.jump:
    case Flow.call:
      return blocks.has(block.target) ? [block.target] : [];
    case Flow.next:
      return blocks.has(block.next) ? [block.next] : [];
    default:
      return [...block.returnsTo];
  }
}

/** The pages that hold instructions of some blocks. */
export function pagesOf(blocks: Iterable<BasicBlock>, guestCode: GuestCode): RegionPage[] {
  const pages = new Map<number, RegionPage>();
  for (const block of blocks) {
    const first = Math.floor(block.offset / PAGE_SIZE);
    const last = Math.floor(Math.max(block.next - 1, block.offset) / PAGE_SIZE);
    for (let pageOffset = first; pageOffset <= last; pageOffset++) {
      const page = guestCode.page(pageOffset);
      if (page !== undefined) {
        pages.set(pageOffset, { pageOffset, physicalPage: page.physicalPage });
      }
    }
  }
  return [...pages.values()];
}
