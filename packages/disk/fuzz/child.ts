/**
 * Fuzzes one format until it is ended, or until something is wrong. Arguments: format, random seed, the file that always
 * holds the bytes that are tried. Messages to the parent say how far it is, and what it found.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { Coverage } from './coverage.ts';
import { exercise } from './exercise.ts';
import { mutate, Random } from './mutate.ts';
import { TARGETS } from './targets.ts';

/** What a child tells its parent. */
export type ChildMessage =
  | { readonly kind: 'progress'; readonly inputs: number; readonly blocks: number; readonly corpus: number }
  | { readonly kind: 'interesting'; readonly bytes: string }
  | { readonly kind: 'failure'; readonly stack: string };

/** Resident memory, of all of the process, that no input may need: kibibytes. */
const MAX_RESIDENT = 700 * 1024;

const [name = '', seed = '1', current = ''] = process.argv.slice(2);
const target = TARGETS[name];
if (target === undefined) throw new Error(`There is no target ${name}.`);
const random = new Random(Number(seed));
using coverage = new Coverage(new URL('../src/', import.meta.url).href);
const corpus: Uint8Array[] = [...(await target.seeds()), ...committed(name)];

function committed(format: string): readonly Uint8Array[] {
  const folder = new URL(`corpus/${format}/`, import.meta.url);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((file) => inflateRawSync(readFileSync(new URL(file, folder))));
}

function tell(message: ChildMessage): void {
  process.send?.(message);
}

async function attempt(bytes: Uint8Array): Promise<boolean> {
  writeFileSync(current, bytes);
  try {
    await exercise(bytes, target?.format ?? 'raw');
    const { maxRSS } = process.resourceUsage();
    if (maxRSS > MAX_RESIDENT) throw new Error(`${maxRSS} KiB of memory were in use`);
    return true;
  } catch (error) {
    tell({ kind: 'failure', stack: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    return false;
  }
}

let told = performance.now();
let isFine = true;
for (const bytes of corpus) isFine = isFine && (await attempt(bytes));
coverage.hasNews();
for (let inputs = corpus.length; isFine; inputs++) {
  const bytes = mutate(random.pick(corpus), random.pick(corpus), random);
  isFine = await attempt(bytes);
  if (isFine && coverage.hasNews()) {
    corpus.push(bytes);
    tell({ kind: 'interesting', bytes: Buffer.from(bytes).toString('base64') });
  }
  if (performance.now() - told < 500) continue;
  told = performance.now();
  tell({ kind: 'progress', inputs, blocks: coverage.size, corpus: corpus.length });
  // Lets messages out, and the order to end in.
  await new Promise((resolve) => setImmediate(resolve));
}
process.disconnect?.();
