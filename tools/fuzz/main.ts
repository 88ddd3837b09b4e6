/**
 * Feeds broken inputs to a package's readers: `pnpm fuzz PACKAGE TARGET [--minutes N] [--seed N]`. Every input is tried in
 * a child process whose time and memory are watched. What fails is written to the package's `fuzz/found/`; put it into
 * `fuzz/corpus/TARGET/` once it is fixed, and `pnpm test` tries it ever after.
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import type { ChildMessage } from './child.ts';
import { fuzzedPackages, fuzzFolder, loadTargets } from './target.ts';

/** Seconds that an input may take: thousands of times what one does. */
const PATIENCE = 20;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
  allowPositionals: true,
});
const [packageName = '', name = ''] = positionals;
const packages = fuzzedPackages();
if (!packages.includes(packageName)) usage(packages.join('|'), 'TARGET');
const targets = await loadTargets(packageName);
if (targets[name] === undefined) usage(packageName, Object.keys(targets).join('|'));
const deadline = performance.now() + Number(values.minutes) * 60_000;
const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
const current = join(folder, 'input');
const interesting: Buffer[] = [];
let failures = 0;
let inputs = 0;
let blocks = 0;
try {
  for (let seed = Number(values.seed); performance.now() < deadline; seed++) await runChild(seed);
} finally {
  rmSync(folder, { recursive: true });
}
save('interesting', interesting);
console.log(`${name}: ${inputs} inputs, ${blocks} blocks of code reached, ${failures} failures`);
process.exitCode = failures > 0 ? 1 : 0;

/** Runs a child until it fails, hangs, dies or time is up. */
async function runChild(seed: number): Promise<void> {
  const child = fork(
    fileURLToPath(new URL('child.ts', import.meta.url)),
    [packageName, name, String(seed), current],
    {
      execArgv: ['--max-old-space-size=400'],
    },
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  let before = 0;
  let failure = '';
  let isStopped = false;
  let lastSign = performance.now();
  const watch = setInterval(() => {
    const now = performance.now();
    if (now - lastSign > PATIENCE * 1000) failure = `an input took more than ${PATIENCE} s`;
    if (failure !== '' || now > deadline) {
      isStopped = true;
      child.kill('SIGKILL');
    }
  }, 200);
  child.on('message', (message: ChildMessage) => {
    lastSign = performance.now();
    if (message.kind === 'failure') failure = message.stack;
    else if (message.kind === 'interesting') interesting.push(Buffer.from(message.bytes, 'base64'));
    else {
      inputs += message.inputs - before;
      before = message.inputs;
      blocks = Math.max(blocks, message.blocks);
    }
  });
  child.on('exit', (code, signal) => {
    clearInterval(watch);
    if (failure === '' && !isStopped) failure = `the process ended by itself: ${signal ?? code}`;
    if (failure !== '') report(failure);
    resolve();
  });
  await promise;
}

function report(failure: string): void {
  failures++;
  console.error(`${name}, failure ${failures}: ${failure}`);
  save('failure', [readFileSync(current)]);
}

function save(kind: string, inputs: readonly Uint8Array[]): void {
  const folder = join(fuzzFolder(packageName), 'found');
  mkdirSync(folder, { recursive: true });
  for (const [index, bytes] of inputs.entries()) {
    writeFileSync(join(folder, `${name}-${kind}-${Date.now()}-${index}`), deflateRawSync(bytes));
  }
}

function usage(packageNames: string, targetNames: string): never {
  console.error(`usage: pnpm fuzz ${packageNames} ${targetNames} [--minutes N] [--seed N]`);
  process.exit(2);
}
