import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';
import { EXIT_STATUS_TABLE } from '../src/exit-status.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the example in README.md runs', () => {
  runReadmeExample(new URL('../', import.meta.url));
});

test('the README has every exit status', () => {
  // The formatter pads the cells of tables.
  const unpadded = readme.replaceAll(/ +/g, ' ');
  for (const { status, meaning, extended } of EXIT_STATUS_TABLE) {
    expect(unpadded, status).toContain(`| ${status} | ${meaning}${extended ? ' (\\*)' : ''} |`);
  }
});
