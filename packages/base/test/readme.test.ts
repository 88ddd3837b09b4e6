import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('runs the example of the README', () => {
  const root = new URL('..', import.meta.url);
  const readme = readFileSync(new URL('README.md', root), 'utf8');
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  const output = execFileSync(process.execPath, ['--input-type=module-typescript', '--eval', example], {
    cwd: fileURLToPath(root),
    encoding: 'utf8',
  });
  const promised = [...example.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, line]) => line);
  expect(output.trim().split('\n')).toEqual(promised);
  expect(promised.length).toBeGreaterThan(0);
});
