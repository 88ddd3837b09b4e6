import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import { ROOT } from '../workspace.ts';
import type { Random } from './mutate.ts';

/** A reader of hostile bytes. */
export interface FuzzTarget {
  /** Well-formed inputs to start from, small, each showing something else of the format. */
  seeds(): Promise<readonly Uint8Array[]>;
  /** Does with an input whatever can be done with it; rejects when something comes of it that may not. */
  exercise(bytes: Uint8Array): Promise<void>;
  /** An input like another one, with something of a second in it, by who knows their form; bytes are changed unless given. */
  mutate?(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array;
  /** Lets go of what inputs left for those after them. */
  close?(): Promise<void>;
  /** An input for people to read, where its bytes say little. */
  describe?(bytes: Uint8Array): string;
}

/** By the names that the command line takes. */
export type FuzzTargets = Readonly<Record<string, FuzzTarget>>;

/** Packages that have a `fuzz/targets.ts`, which exports `TARGETS`. */
export function fuzzedPackages(): readonly string[] {
  return globSync('packages/*/fuzz/targets.ts', { cwd: ROOT })
    .map((path) => path.split('/')[1] ?? '')
    .toSorted();
}

/** Where a package has its targets and corpus. */
export function fuzzFolder(packageName: string): string {
  return join(ROOT, 'packages', packageName, 'fuzz');
}

export async function loadTargets(packageName: string): Promise<FuzzTargets> {
  const { TARGETS } = await import(pathToFileURL(join(fuzzFolder(packageName), 'targets.ts')).href);
  return TARGETS;
}

/** The committed inputs of a target, by the names of their files. */
export function corpusOf(packageName: string, target: string): ReadonlyMap<string, Uint8Array> {
  const folder = join(fuzzFolder(packageName), 'corpus', target);
  if (!existsSync(folder)) return new Map();
  return new Map(readdirSync(folder).map((file) => [file, inflateRawSync(readFileSync(join(folder, file)))]));
}
