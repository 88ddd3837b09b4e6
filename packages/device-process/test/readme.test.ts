import { test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md runs', () => {
  runReadmeExample(new URL('../', import.meta.url));
});
