/**
 * The candidate most like `name`, if one is so near that a slip of the hand explains the difference: by the
 * Damerau–Levenshtein distance (insertions, deletions, substitutions, swaps of neighbours), at most one third of
 * the name's length and 3.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll('_', '-');
  let best: string | undefined;
  let limit = Math.min(3, Math.max(1, Math.floor(name.length / 3)));
  for (const candidate of candidates) {
    // Lengths that differ too much need not be compared, so a hostile name of any length costs nothing.
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const found = distance(plain(name), plain(candidate));
    if (found > limit || (found === limit && best !== undefined)) continue;
    best = candidate;
    limit = found;
  }
  return best;
}

/** Optimal string alignment distance, by rows of the edit matrix. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  const at = (row: number[], j: number) => row[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(substitution, at(last, j) + 1, at(row, j - 1) + 1);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, at(beforeLast, j - 2) + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}
