import { expect, test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md runs', () => {
  const output = runReadmeExample(new URL('../', import.meta.url));
  expect(output).toBe('Hello from the UART\n00:01.0 1af4:1044\n');
});
