import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code = '']) => code);

test.each(examples)('example %# in the README runs', (example) => {
  expect(example).toContain('@tsvmm/disk');
  execFileSync(process.execPath, ['--input-type=module-typescript', '--eval', example], {
    cwd: new URL('..', import.meta.url),
    stdio: 'pipe',
  });
});
