#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { dirname } from 'node:path';

const { directory } = enableCompileCache();
// Threads look for it in the environment. The directory is that of this version of Node, below the one that is named.
if (directory !== undefined) process.env.NODE_COMPILE_CACHE ??= dirname(directory);
const { main } = await import('../dist/main.js');
const status = await main(process.argv.slice(2));
// Not process.exitCode: input that is still awaited must not keep a finished command alive.
process.exit(status);
