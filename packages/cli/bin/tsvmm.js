#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// What V8 has compiled stays with the user: anybody could leave something in /tmp. Threads look for it in the environment.
process.env.NODE_COMPILE_CACHE ??= join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'tsvmm',
  'compiled',
);
enableCompileCache(process.env.NODE_COMPILE_CACHE);
const { main } = await import('../dist/main.bundle.js');
const status = await main(process.argv.slice(2));
// Not process.exitCode: input that is still awaited must not keep a finished command alive.
process.exit(status);
