import fc from 'fast-check';

/** Graphs of up to 14 nodes with up to 3 edges from each, often irreducible. The root has an edge and none leads to it. */
export function flowGraphs(): fc.Arbitrary<number[][]> {
  return fc.integer({ min: 2, max: 14 }).chain((size) => {
    const node = fc.integer({ min: 1, max: size - 1 });
    const edges = fc.array(node, { maxLength: 3 });
    return fc
      .tuple(
        fc.uniqueArray(node, { minLength: 1, maxLength: 3 }),
        fc.array(edges, { minLength: size - 1, maxLength: size - 1 }),
      )
      .map(([entries, rest]) => [entries, ...rest]);
  });
}
