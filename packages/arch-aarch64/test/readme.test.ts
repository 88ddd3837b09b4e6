import { expect, test } from 'vitest';
import { promisedOutput, runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md prints what it says', () => {
  const root = new URL('../', import.meta.url);
  expect(runReadmeExample(root)).toBe(promisedOutput(root));
});
