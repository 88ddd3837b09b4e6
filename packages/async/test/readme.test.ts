import { expect, test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md writes and reads', () => {
  expect(runReadmeExample(new URL('../', import.meta.url))).toBe('1 11\n2 11\n');
});
