import { afterAll, describe, test } from 'vitest';
import { mutate, Random } from './mutate.ts';
import { corpusOf, type FuzzTargets } from './target.ts';

/** Besides the corpus, so that the fuzzer itself keeps working. */
const MUTATIONS = 20;

/**
 * Tries what fuzzing a package found, and a little more.
 * @param mutations how much more, of each target
 */
export function testCorpus(packageName: string, targets: FuzzTargets, mutations = MUTATIONS): void {
  describe.each(Object.entries(targets))('%s', (name, target) => {
    afterAll(async () => await target.close?.());

    test.each([...corpusOf(packageName, name)])('what fuzzing found: %s', async (_file, bytes) => {
      await target.exercise(bytes);
    });

    test('inputs that are made, and some that are broken', async () => {
      const inputs = await target.seeds();
      const random = new Random(1);
      for (const bytes of inputs) await target.exercise(bytes);
      for (let i = 0; i < mutations; i++) {
        await target.exercise((target.mutate ?? mutate)(random.pick(inputs), random.pick(inputs), random));
      }
    });
  });
}
