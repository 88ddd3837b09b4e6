/** Nodes are numbers from 0, the root; `successors[n]` are the nodes that an edge leads to from n. */
export type Successors = readonly (readonly number[])[];

/**
 * What structured code needs to know about a flow graph: an order in which every edge that is not a loop's goes forward,
 * the dominator tree, and the natural loops.
 *
 * Indices are nodes. Nodes that the root does not reach have position -1 and take part in nothing.
 */
export interface FlowGraph {
  readonly successors: Successors;
  readonly predecessors: Successors;
  /** Reachable nodes in reverse postorder. */
  readonly order: readonly number[];
  /** Place of each node in `order`. */
  readonly position: Int32Array;
  /** Immediate dominator of each node; the root is its own. */
  readonly immediateDominator: Int32Array;
  /** Header of the innermost natural loop around each node (a header is in its own), or -1. */
  readonly loop: Int32Array;
  /** Of a loop header: header of the next loop around it, or -1. */
  readonly enclosingLoop: Int32Array;
  /** Targets of edges that go backward without being a natural loop's: the graph is reducible when there are none. */
  readonly irreducibleTargets: readonly number[];
}

export function analyseFlow(successors: Successors): FlowGraph {
  const { order, position } = reversePostorder(successors);
  const predecessors: number[][] = successors.map(() => []);
  for (const node of order) {
    for (const successor of successors[node] ?? []) {
      predecessors[successor]?.push(node);
    }
  }
  const immediateDominator = dominatorTree(order, position, predecessors);
  const backEdges = new Map<number, number[]>();
  const irreducible = new Set<number>();
  for (const source of order) {
    for (const target of successors[source] ?? []) {
      if (at(position, target) > at(position, source)) {
        continue;
      }
      if (dominates(immediateDominator, position, target, source)) {
        const sources = backEdges.get(target);
        sources === undefined ? backEdges.set(target, [source]) : sources.push(source);
      } else {
        irreducible.add(target);
      }
    }
  }
  const loops = naturalLoops(order, predecessors, backEdges);
  return {
    successors,
    predecessors,
    order,
    position,
    immediateDominator,
    ...loops,
    irreducibleTargets: [...irreducible],
  };
}

/** Whether every path from the root to `node` passes `dominator`. */
export function dominates(
  immediateDominator: Int32Array,
  position: Int32Array,
  dominator: number,
  node: number,
): boolean {
  let walk = node;
  while (at(position, walk) > at(position, dominator)) {
    walk = at(immediateDominator, walk);
  }
  return walk === dominator;
}

/** Whether `node` is in the natural loop with this header. */
export function isInLoop(graph: FlowGraph, header: number, node: number): boolean {
  let loop = at(graph.loop, node);
  while (loop !== -1 && loop !== header) {
    loop = at(graph.enclosingLoop, loop);
  }
  return loop === header;
}

function at(array: Int32Array, index: number): number {
  return array[index] ?? -1;
}

function reversePostorder(successors: Successors): { order: number[]; position: Int32Array } {
  const visited = new Uint8Array(successors.length);
  const postorder: number[] = [];
  const path = [0];
  // The last successor is visited first, so that the first comes first in the result: layout follows likelihood.
  const remaining = [successors[0]?.length ?? 0];
  visited[0] = 1;
  while (path.length > 0) {
    const depth = path.length - 1;
    const node = path[depth] ?? 0;
    const next = (remaining[depth] ?? 0) - 1;
    if (next < 0) {
      postorder.push(node);
      path.pop();
      remaining.pop();
      continue;
    }
    remaining[depth] = next;
    const successor = successors[node]?.[next] ?? 0;
    if (visited[successor] === 0) {
      visited[successor] = 1;
      path.push(successor);
      remaining.push(successors[successor]?.length ?? 0);
    }
  }
  const order = postorder.reverse();
  const position = new Int32Array(successors.length).fill(-1);
  order.forEach((node, index) => {
    position[node] = index;
  });
  return { order, position };
}

/** Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm": iterates to the fixed point in reverse postorder. */
function dominatorTree(order: readonly number[], position: Int32Array, predecessors: Successors): Int32Array {
  const dominator = new Int32Array(position.length).fill(-1);
  dominator[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of order) {
      if (node === 0) {
        continue;
      }
      let common = -1;
      for (const predecessor of predecessors[node] ?? []) {
        if (at(dominator, predecessor) !== -1) {
          common = common === -1 ? predecessor : intersect(dominator, position, common, predecessor);
        }
      }
      if (dominator[node] !== common) {
        dominator[node] = common;
        changed = true;
      }
    }
  }
  return dominator;
}

function intersect(dominator: Int32Array, position: Int32Array, a: number, b: number): number {
  let left = a;
  let right = b;
  while (left !== right) {
    while (at(position, left) > at(position, right)) {
      left = at(dominator, left);
    }
    while (at(position, right) > at(position, left)) {
      right = at(dominator, right);
    }
  }
  return left;
}

/** Finds loop bodies backward from the sources of the back edges, inner loops first. */
function naturalLoops(
  order: readonly number[],
  predecessors: Successors,
  backEdges: ReadonlyMap<number, readonly number[]>,
): Pick<FlowGraph, 'loop' | 'enclosingLoop'> {
  const loop = new Int32Array(predecessors.length).fill(-1);
  const enclosingLoop = new Int32Array(predecessors.length).fill(-1);
  for (let index = order.length - 1; index >= 0; index--) {
    const header = order[index] ?? 0;
    const sources = backEdges.get(header);
    if (sources === undefined) {
      continue;
    }
    const inner = at(loop, header);
    if (inner === -1) {
      loop[header] = header;
    }
    const work = [...sources];
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      let outermost = at(loop, node);
      if (outermost === -1) {
        loop[node] = header;
        work.push(...(predecessors[node] ?? []));
        continue;
      }
      while (outermost !== header && at(enclosingLoop, outermost) !== -1) {
        outermost = at(enclosingLoop, outermost);
      }
      if (outermost !== header) {
        enclosingLoop[outermost] = header;
        work.push(...(predecessors[outermost] ?? []));
      }
    }
  }
  return { loop, enclosingLoop };
}
