/**
 * Runs a package's fuzzer: `pnpm fuzz PACKAGE [ARGUMENT…]` starts `packages/PACKAGE/fuzz/main.ts` with the arguments;
 * without a package it lists those that have one.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './workspace.ts';

const [name = '', ...args] = process.argv.slice(2);
const names = globSync('packages/*/fuzz/main.ts', { cwd: ROOT }).map((path) => path.split('/')[1] ?? '');
if (names.includes(name)) {
  const program = join(ROOT, 'packages', name, 'fuzz', 'main.ts');
  process.exitCode = spawnSync(process.execPath, [program, ...args], { stdio: 'inherit' }).status ?? 1;
} else {
  console.error(`usage: pnpm fuzz ${names.join('|')} [ARGUMENT…]`);
  process.exitCode = 2;
}
