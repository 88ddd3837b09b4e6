/**
 * Fuzzes one target until it is ended, or until something is wrong. Arguments: package, target, random seed, the file that
 * always holds the bytes that are tried. Messages to the parent say how far it is, and what it found.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { Coverage } from './coverage.ts';
import { mutate, Random } from './mutate.ts';
import { corpusOf, type FuzzTarget, fuzzFolder, loadTargets } from './target.ts';

/** What a child tells its parent. */
export type ChildMessage =
  | { readonly kind: 'progress'; readonly inputs: number; readonly blocks: number; readonly corpus: number }
  | { readonly kind: 'interesting'; readonly bytes: string }
  | { readonly kind: 'failure'; readonly stack: string };

/** Resident memory, of all of the process, that no input may need: kibibytes. */
const MAX_RESIDENT = 700 * 1024;

/** Inputs after which coverage is looked at, which takes longer than one of them. */
const BATCH = 16;

const [packageName = '', name = '', seed = '1', current = ''] = process.argv.slice(2);
const target = await findTarget();
const random = new Random(Number(seed));
using coverage = new Coverage(pathToFileURL(join(fuzzFolder(packageName), '../src/')).href);
const corpus: Uint8Array[] = [...(await target.seeds()), ...corpusOf(packageName, name).values()];

async function findTarget(): Promise<FuzzTarget> {
  const found = (await loadTargets(packageName))[name];
  if (found === undefined) throw new Error(`${packageName} has no target ${name}.`);
  return found;
}

function tell(message: ChildMessage): void {
  process.send?.(message);
}

async function attempt(bytes: Uint8Array): Promise<boolean> {
  writeFileSync(current, bytes);
  try {
    await target.exercise(bytes);
    const { maxRSS } = process.resourceUsage();
    if (maxRSS > MAX_RESIDENT) throw new Error(`${maxRSS} KiB of memory were in use`);
    return true;
  } catch (error) {
    tell({ kind: 'failure', stack: inspect(error) });
    return false;
  }
}

let told = performance.now();
let isFine = true;
for (const [index, bytes] of corpus.entries()) {
  isFine = isFine && (await attempt(bytes));
  await tellProgress(index);
}
coverage.takeNews();
for (let inputs = corpus.length; isFine; inputs += BATCH) {
  const batch = Array.from({ length: BATCH }, () =>
    (target.mutate ?? mutate)(random.pick(corpus), random.pick(corpus), random),
  );
  for (const bytes of batch) {
    isFine = isFine && (await attempt(bytes));
    await tellProgress(inputs);
  }
  if (isFine && coverage.hasNews()) await keepNews(batch, inputs);
}
process.disconnect?.();

/** Says now and then that it goes on. */
async function tellProgress(inputs: number): Promise<void> {
  if (performance.now() - told < 500) return;
  told = performance.now();
  tell({ kind: 'progress', inputs, blocks: coverage.size, corpus: corpus.length });
  // Lets messages out, and the order to end in.
  await new Promise((resolve) => setImmediate(resolve));
}

/** Tries inputs again, to find those of them that reach what none did before. */
async function keepNews(batch: readonly Uint8Array[], inputs: number): Promise<void> {
  for (const bytes of batch) {
    isFine = isFine && (await attempt(bytes));
    await tellProgress(inputs);
    if (!coverage.takeNews()) continue;
    corpus.push(bytes);
    tell({ kind: 'interesting', bytes: Buffer.from(bytes).toString('base64') });
  }
}
