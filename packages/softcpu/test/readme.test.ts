import { expect, test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md runs', () => {
  expect(runReadmeExample(new URL('../', import.meta.url))).toBe('H\nstopped\n');
});
