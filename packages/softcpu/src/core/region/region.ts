import { type CodeBuilder, I64, type Local, Op } from '@tsvmm/wasm-emitter';
import type { BranchHint } from './branch-hints.ts';
import {
  type BasicBlock,
  discoverRegion,
  type FetchPage,
  pagesOf,
  type RegionCode,
  type RegionPage,
  successorsOf,
} from './control-flow.ts';
import type { FlowGraph } from './flow-graph.ts';
import { analyseRegisters } from './liveness.ts';
import { Flow, type RegionArchitecture, type RegionInstruction } from './region-architecture.ts';
import { RegionEmitter, type RegionImports } from './region-emitter.ts';
import { RegionExit } from './region-table.ts';
import { type EdgeWriter, makeReducible, writeStructured } from './structure.ts';

/** A region as the body of a WebAssembly function. */
export interface TranslatedRegion {
  readonly code: CodeBuilder;
  readonly hints: readonly BranchHint[];
  /** The physical pages it was made from, by their distance from the base: the page of the entry. */
  readonly pages: readonly RegionPage[];
  readonly instructionCount: number;
}

export interface RegionLimits {
  readonly maximumInstructions: number;
  /** Bytes of WebAssembly: V8's optimising compiler is superlinear above some ten thousand. */
  readonly maximumCodeSize: number;
}

export const REGION_LIMITS: RegionLimits = { maximumInstructions: 500, maximumCodeSize: 12_000 };

/**
 * Translates the region that starts at an entry.
 *
 * @param entry offset in the page that {@link fetch} gives for 0.
 * @returns undefined if nothing can be translated at the entry.
 */
export function translateRegion<I extends RegionInstruction>(
  architecture: RegionArchitecture<I>,
  fetch: FetchPage,
  entry: number,
  imports: RegionImports,
  limits = REGION_LIMITS,
): TranslatedRegion | undefined {
  for (let maximumInstructions = limits.maximumInstructions; ; ) {
    const region = discoverRegion(architecture, fetch, entry, maximumInstructions);
    if (region === undefined) {
      return undefined;
    }
    const translated = new RegionWriter(architecture, region, imports).write();
    if (translated.code.size <= limits.maximumCodeSize || maximumInstructions <= 16) {
      return translated;
    }
    const share = (0.9 * limits.maximumCodeSize) / translated.code.size;
    maximumInstructions = Math.max(16, Math.floor(region.instructionCount * share));
  }
}

/** Writes the function of one region. Graph nodes are the blocks, counted from 1; 0 is the entry's dispatcher. */
class RegionWriter<I extends RegionInstruction> {
  readonly #architecture: RegionArchitecture<I>;
  readonly #region: RegionCode<I>;
  readonly #nodes: readonly BasicBlock<I>[];
  readonly #nodeAt = new Map<number, number>();
  readonly #graph: FlowGraph;
  readonly #emitter: RegionEmitter;
  readonly #blocks: ReadonlyMap<number, BasicBlock<I>>;
  readonly #loaded: ReadonlySet<number>;
  readonly #stored: ReadonlySet<number>;

  constructor(architecture: RegionArchitecture<I>, region: RegionCode<I>, imports: RegionImports) {
    this.#architecture = architecture;
    this.#region = region;
    this.#nodes = [...region.blocks.values()];
    this.#nodes.forEach((block, index) => {
      this.#nodeAt.set(block.offset, index + 1);
    });
    const node = (offset: number): number => this.#nodeAt.get(offset) ?? 0;
    this.#graph = makeReducible([
      [node(region.entry)],
      ...this.#nodes.map((block) => successorsOf(region.blocks, block).map(node)),
    ]);
    this.#blocks = new Map(
      this.#graph.order.flatMap((index) => {
        const block = this.#nodes[index - 1];
        return block === undefined ? [] : [[block.offset, block]];
      }),
    );
    const use = analyseRegisters(this.#blocks, region.entry, (block) => this.#isRepeated(node(block.offset)));
    this.#loaded = use.loaded;
    this.#stored = use.written;
    this.#emitter = new RegionEmitter(architecture.registers, use.used, imports);
  }

  write(): TranslatedRegion {
    const emitter = this.#emitter;
    const instructions = [...this.#blocks.values()].flatMap((block) => block.instructions);
    emitter.writeFrame(this.#loaded, this.#stored, () => {
      this.#architecture.writeGuard(emitter, instructions, this.#region.entry);
      writeStructured(this.#graph, emitter.code, emitter.selector, (node, edges) => {
        this.#writeBlock(this.#nodes[node - 1] as BasicBlock<I>, edges);
      });
    });
    return {
      code: emitter.code,
      hints: emitter.hints,
      pages: pagesOf(this.#blocks.values(), this.#region.guestCode),
      instructionCount: instructions.length,
    };
  }

  /** Whether control may come to a node again: every cycle has such a node, and a look at the interrupt requests there. */
  #isRepeated(node: number): boolean {
    return this.#graph.loop[node] === node || this.#graph.irreducibleTargets.includes(node);
  }

  #writeBlock(block: BasicBlock<I>, edges: EdgeWriter): void {
    const emitter = this.#emitter;
    if (this.#isRepeated(this.#nodeAt.get(block.offset) ?? 0)) {
      emitter.leaveIfRequested(block.offset);
    }
    const endsPlainly = block.flow === Flow.next || block.flow === Flow.stop;
    const last = endsPlainly ? undefined : block.instructions.at(-1);
    const body = last === undefined ? block.instructions : block.instructions.slice(0, -1);
    this.#architecture.writeInstructions(emitter, body);
    if (last === undefined) {
      block.flow === Flow.stop
        ? emitter.leave(RegionExit.interpret, block.next)
        : this.#writeEdge(block.next, edges);
    } else {
      this.#writeTransfer(block, last, edges);
    }
  }

  #writeTransfer(block: BasicBlock<I>, last: I, edges: EdgeWriter): void {
    switch (block.flow) {
      case Flow.branch:
        this.#writeBranch(block, last, edges);
        return;
      case Flow.jump:
      case Flow.call:
        this.#architecture.writeLink(this.#emitter, last);
        this.#writeEdge(block.target, edges);
        return;
      default:
        this.#writeIndirect(block, last, edges);
    }
  }

  #writeBranch(block: BasicBlock<I>, last: I, edges: EdgeWriter): void {
    const emitter = this.#emitter;
    const pushCondition = (): void => this.#architecture.writeCondition(emitter, last);
    const node = this.#nodeOf(block.target);
    if (node === undefined) {
      emitter.leaveIf(RegionExit.continue, block.target, pushCondition);
    } else {
      pushCondition();
      this.#writeConditionalEdge(node, edges);
    }
    this.#writeEdge(block.next, edges);
  }

  /** Goes to a node if the i32 on the stack is not zero. */
  #writeConditionalEdge(node: number, edges: EdgeWriter): void {
    const { code } = this.#emitter;
    const label = edges.label(node);
    if (label !== undefined) {
      code.brIf(label);
    } else {
      code.if();
      edges.go(node);
      code.end();
    }
  }

  #writeEdge(offset: number, edges: EdgeWriter): void {
    const node = this.#nodeOf(offset);
    if (node === undefined) {
      this.#emitter.leave(RegionExit.continue, offset);
    } else {
      edges.go(node);
    }
  }

  /** Compares the target with the places that are expected, and leaves if it is none of them. */
  #writeIndirect(block: BasicBlock<I>, last: I, edges: EdgeWriter): void {
    const emitter = this.#emitter;
    const { code } = emitter;
    const target = emitter.scratch(I64, 0);
    this.#architecture.writeTarget(emitter, last);
    code.set(target);
    this.#architecture.writeLink(emitter, last);
    for (const site of block.returnsTo) {
      const node = this.#nodeOf(site);
      if (node !== undefined) {
        this.#pushIsAt(target, site);
        this.#writeConditionalEdge(node, edges);
      }
    }
    emitter.leaveTo(target);
  }

  #pushIsAt(address: Local, offset: number): void {
    this.#emitter.code.get(address);
    this.#emitter.pushPc(offset);
    this.#emitter.code.op(Op.i64Eq);
  }

  #nodeOf(offset: number): number | undefined {
    return this.#blocks.has(offset) ? this.#nodeAt.get(offset) : undefined;
  }
}
