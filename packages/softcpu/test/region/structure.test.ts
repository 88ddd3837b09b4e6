import { CodeBuilder, I32, ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FlowGraph } from '../../src/core/region/flow-graph.ts';
import { makeReducible, writeStructured } from '../../src/core/region/structure.ts';
import { flowGraphs } from './flow-graphs.ts';

/**
 * A function whose nodes call `visit(node)`, which answers which edge to take; a negative answer or a node without edges
 * returns.
 */
function compile(graph: FlowGraph): (entry: number, visit: (node: number) => number) => void {
  const module = new ModuleBuilder();
  const visitImport = module.importFunction('env', 'visit', module.type([I32], [I32]));
  const code = new CodeBuilder(1);
  const choice = code.local(I32);
  writeStructured(graph, code, 0, (node, edges) => {
    const targets = graph.successors[node] ?? [];
    code.i32Const(node).call(visitImport).set(choice);
    code.get(choice).i32Const(0).op(Op.i32LtS).if();
    code.op(Op.return).end();
    targets.forEach((target, index) => {
      code.get(choice).i32Const(index).op(Op.i32Eq);
      const label = edges.label(target);
      if (label !== undefined) {
        code.brIf(label);
      } else {
        code.if();
        edges.go(target);
        code.end();
      }
    });
    code.op(Op.return);
  });
  code.op(Op.unreachable);
  module.exportFunction('run', module.function(module.type([I32], []), code));
  const compiled = new WebAssembly.Module(module.toBytes());
  return (entry, visit) => {
    const instance = new WebAssembly.Instance(compiled, { env: { visit } });
    (instance.exports.run as (entry: number) => void)(entry);
  };
}

test('structured code walks the graph as its edges say, for every sequence of decisions', () => {
  fc.assert(
    fc.property(
      flowGraphs(),
      fc.nat(20),
      fc.array(fc.nat(2), { minLength: 1, maxLength: 60 }),
      (successors, entrySeed, decisions) => {
        const graph = makeReducible(successors);
        expect(graph.successors[0]?.slice(0, successors[0]?.length)).toEqual(successors[0]);
        const entries = graph.successors[0] ?? [];
        const entry = entrySeed % entries.length;

        const expected: number[] = [];
        let node = entries[entry];
        for (const decision of decisions) {
          expected.push(node ?? -1);
          const targets: number[] = successors[node ?? -1] ?? [];
          node = targets[decision % Math.max(targets.length, 1)];
          if (node === undefined) {
            break;
          }
        }

        const walked: number[] = [];
        compile(graph)(entry, (visited) => {
          const decision = decisions[walked.length];
          if (decision === undefined) {
            return -1;
          }
          walked.push(visited);
          const count = successors[visited]?.length ?? 0;
          return walked.length === decisions.length || count === 0 ? -1 : decision % count;
        });
        expect(walked).toEqual(expected);
      },
    ),
    { numRuns: 400 },
  );
});
