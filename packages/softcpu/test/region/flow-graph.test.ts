import fc from 'fast-check';
import { expect, test } from 'vitest';
import { analyseFlow, dominates, isInLoop, type Successors } from '../../src/core/region/flow-graph.ts';
import { flowGraphs } from './flow-graphs.ts';

/** Nodes reachable from the root when `without` cannot be entered. */
function reach(successors: Successors, without = -1): Set<number> {
  const seen = new Set<number>();
  const work = without === 0 ? [] : [0];
  for (let node = work.pop(); node !== undefined; node = work.pop()) {
    if (!seen.has(node) && node !== without) {
      seen.add(node);
      work.push(...(successors[node] ?? []));
    }
  }
  return seen;
}

/** By definition: the nodes that reach a back edge's source without passing the header, and the header. */
function loopBody(successors: Successors, header: number, sources: readonly number[]): Set<number> {
  const body = new Set([header]);
  const work = [...sources];
  for (let node = work.pop(); node !== undefined; node = work.pop()) {
    if (!body.has(node)) {
      body.add(node);
      const target = node;
      work.push(...[...reach(successors)].filter((from) => successors[from]?.includes(target)));
    }
  }
  return body;
}

test('a node dominates another if the other cannot be reached without it', () => {
  fc.assert(
    fc.property(flowGraphs(), (successors) => {
      const graph = analyseFlow(successors);
      const reachable = reach(successors);
      expect(new Set(graph.order)).toEqual(reachable);
      for (const dominator of reachable) {
        const rest = reach(successors, dominator);
        for (const node of reachable) {
          expect(dominates(graph.immediateDominator, graph.position, dominator, node)).toBe(
            node === dominator || !rest.has(node),
          );
        }
      }
    }),
  );
});

test('loops are what their back edges make them, and nest', () => {
  fc.assert(
    fc.property(flowGraphs(), (successors) => {
      const graph = analyseFlow(successors);
      const irreducible = new Set<number>();
      for (const header of graph.order) {
        const sources: number[] = [];
        for (const source of graph.order) {
          const goesBack = (graph.position[source] ?? 0) >= (graph.position[header] ?? 0);
          if (goesBack && successors[source]?.includes(header)) {
            const isLoop = dominates(graph.immediateDominator, graph.position, header, source);
            isLoop ? sources.push(source) : irreducible.add(header);
          }
        }
        const body = sources.length > 0 ? loopBody(successors, header, sources) : new Set<number>();
        for (const node of graph.order) {
          expect(isInLoop(graph, header, node)).toBe(body.has(node));
        }
      }
      expect(new Set(graph.irreducibleTargets)).toEqual(irreducible);
    }),
  );
});
