#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { main } = await import('../dist/main.js');
const status = await main(process.argv.slice(2));
// Not process.exitCode: input that is still awaited must not keep a finished command alive.
process.exit(status);
