import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EXIT_STATUS_TABLE } from '../src/exit-status.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the example in the README runs', () => {
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? '';
  expect(example).toContain("from 'tsvmm'");
  execFileSync(process.execPath, ['--input-type=module-typescript', '--eval', example], {
    cwd: new URL('..', import.meta.url),
    stdio: 'pipe',
  });
});

test('the README has every exit status', () => {
  // The formatter pads the cells of tables.
  const unpadded = readme.replaceAll(/ +/g, ' ');
  for (const { status, meaning, extended } of EXIT_STATUS_TABLE) {
    expect(unpadded, status).toContain(`| ${status} | ${meaning}${extended ? ' (\\*)' : ''} |`);
  }
});
