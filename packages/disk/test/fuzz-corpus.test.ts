import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { describe, test } from 'vitest';
import { exercise } from '../fuzz/exercise.ts';
import { mutate, Random } from '../fuzz/mutate.ts';
import { TARGETS } from '../fuzz/targets.ts';

const CORPUS = new URL('../fuzz/corpus/', import.meta.url);
/** Besides the corpus, so that the fuzzer itself keeps working. */
const MUTATIONS = 20;

describe.each(Object.entries(TARGETS))('%s', (name, { format, seeds }) => {
  const folder = new URL(`${name}/`, CORPUS);
  const files = existsSync(folder) ? readdirSync(folder) : [];

  test.each(files)('what fuzzing found: %s', async (file) => {
    await exercise(inflateRawSync(readFileSync(new URL(file, folder))), format);
  });

  test('images that are made, and some that are broken', async () => {
    const images = await seeds();
    const random = new Random(1);
    for (const image of images) await exercise(image, format);
    for (let i = 0; i < MUTATIONS; i++) {
      await exercise(mutate(random.pick(images), random.pick(images), random), format);
    }
  });
});
