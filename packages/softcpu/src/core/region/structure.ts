import { type CodeBuilder, type Label, type Local, Op } from '@tsvmm/wasm-emitter';
import { analyseFlow, type FlowGraph, isInLoop, type Successors } from './flow-graph.ts';

/** Writes the code of one node. Control must not fall off its end: every path branches, returns or traps. */
export type NodeWriter = (node: number, edges: EdgeWriter) => void;

/** What a node's code may do about the edges that leave it. */
export interface EdgeWriter {
  /**
   * Writes the transfer of control along an edge; nothing after it is reached. An edge may be written only once, unless
   * {@link label} gives a label for it: its target may be written in place.
   */
  go(target: number): void;
  /** The label whose branch is the whole transfer, for `br_if` and `br_table`; undefined when {@link go} is needed. */
  label(target: number): Label | undefined;
}

/**
 * Makes a graph reducible, by letting the root lead to the targets of the edges that are in the way: such an edge is taken
 * through the root, which becomes a dispatcher. The root's own successors keep their places.
 */
export function makeReducible(successors: Successors): FlowGraph {
  let graph = analyseFlow(successors);
  while (graph.irreducibleTargets.some((target) => !graph.successors[0]?.includes(target))) {
    const entries = new Set([...(graph.successors[0] ?? []), ...graph.irreducibleTargets]);
    graph = analyseFlow([[...entries], ...graph.successors.slice(1)]);
  }
  return graph;
}

/**
 * Writes a flow graph as WebAssembly's blocks and loops, following its dominator tree (Ramsey, "Beyond Relooper"): a node
 * is written in place of the only edge that leads to it, or, where edges join, after a block that they leave; a loop's
 * header opens a loop. Nodes that a loop leads out to are written after the loop, so that loops stay contiguous.
 *
 * The root is a dispatcher: it selects among its successors, in their order, by the i32 in `selector`.
 *
 * @param graph from {@link makeReducible}.
 */
export function writeStructured(
  graph: FlowGraph,
  code: CodeBuilder,
  selector: Local,
  writeNode: NodeWriter,
): void {
  new StructureWriter(graph, code, selector, writeNode).writeAll();
}

class StructureWriter {
  readonly #graph: FlowGraph;
  readonly #code: CodeBuilder;
  readonly #selector: Local;
  readonly #writeNode: NodeWriter;
  /** Nodes written after a block inside the construct of their dominator, in reverse postorder. */
  readonly #joins: number[][];
  /** Nodes written after the loop of a header, in reverse postorder. */
  readonly #exits: number[][];
  /** Label that leads to each node that is not written in place, while it is open. */
  readonly #forward: (Label | undefined)[] = [];
  readonly #backward: (Label | undefined)[] = [];
  #dispatch: Label | undefined;

  constructor(graph: FlowGraph, code: CodeBuilder, selector: Local, writeNode: NodeWriter) {
    this.#graph = graph;
    this.#code = code;
    this.#selector = selector;
    this.#writeNode = writeNode;
    this.#joins = graph.successors.map(() => []);
    this.#exits = graph.successors.map(() => []);
    for (const node of graph.order) {
      if (node !== 0) {
        this.#place(node);
      }
    }
  }

  writeAll(): void {
    const dispatches = this.#graph.irreducibleTargets.length > 0;
    if (dispatches) {
      this.#dispatch = this.#code.loop();
    }
    this.#writeTree(0);
    if (dispatches) {
      this.#code.end();
      this.#dispatch = undefined;
    }
  }

  #place(node: number): void {
    const { immediateDominator, loop, enclosingLoop, position, predecessors } = this.#graph;
    const parent = immediateDominator[node] ?? 0;
    let left = -1;
    for (let around = loop[parent] ?? -1; around !== -1; around = enclosingLoop[around] ?? -1) {
      if (isInLoop(this.#graph, around, node)) {
        break;
      }
      left = around;
    }
    if (left !== -1) {
      this.#exits[left]?.push(node);
      return;
    }
    const place = position[node] ?? 0;
    const forwardEdges = (predecessors[node] ?? []).filter((source) => (position[source] ?? 0) < place);
    if (parent === 0 || forwardEdges.length > 1) {
      this.#joins[parent]?.push(node);
    }
  }

  #writeTree(node: number): void {
    const code = this.#code;
    const exits = this.#exits[node] ?? [];
    const joins = this.#joins[node] ?? [];
    this.#openBlocks(exits);
    const isLoop = this.#graph.loop[node] === node;
    if (isLoop) {
      this.#backward[node] = code.loop();
    }
    this.#openBlocks(joins);
    if (node === 0) {
      this.#writeDispatcher();
    } else {
      this.#writeNode(node, {
        go: (target) => this.#go(node, target),
        label: (target) => this.#label(node, target),
      });
    }
    this.#closeBlocks(joins);
    if (isLoop) {
      code.end();
      this.#backward[node] = undefined;
    }
    this.#closeBlocks(exits);
  }

  #openBlocks(nodes: readonly number[]): void {
    for (const node of nodes.toReversed()) {
      this.#forward[node] = this.#code.block();
    }
  }

  #closeBlocks(nodes: readonly number[]): void {
    for (const node of nodes) {
      this.#code.end();
      this.#forward[node] = undefined;
      this.#writeTree(node);
    }
  }

  #writeDispatcher(): void {
    const labels = (this.#graph.successors[0] ?? []).map((target) => this.#forward[target] as Label);
    const first = labels[0];
    if (first === undefined) {
      this.#code.op(Op.unreachable);
    } else if (labels.length === 1) {
      this.#code.br(first);
    } else {
      this.#code.get(this.#selector).brTable(labels, first);
    }
  }

  #label(source: number, target: number): Label | undefined {
    const { position } = this.#graph;
    const isForward = (position[target] ?? 0) > (position[source] ?? 0);
    return isForward ? this.#forward[target] : this.#backward[target];
  }

  #go(source: number, target: number): void {
    const label = this.#label(source, target);
    if (label !== undefined) {
      this.#code.br(label);
      return;
    }
    if ((this.#graph.position[target] ?? 0) > (this.#graph.position[source] ?? 0)) {
      this.#writeTree(target);
      return;
    }
    const entry = this.#graph.successors[0]?.indexOf(target) ?? -1;
    if (this.#dispatch === undefined || entry === -1) {
      throw new RangeError(
        `edge ${source} → ${target} goes backward, and its target is no entry: use makeReducible`,
      );
    }
    this.#code.i32Const(entry).set(this.#selector).br(this.#dispatch);
  }
}
