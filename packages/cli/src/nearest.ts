import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The candidate that a misspelt name stands for; its code is loaded only when something is misspelt. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const { nearest } = require('@tsvmm/keyvalue') as typeof import('@tsvmm/keyvalue');
  return nearest(name, candidates);
}
