/**
 * Feeds broken inputs to a package's readers, or plays a hostile guest: `pnpm fuzz PACKAGE|guest [TARGET] [--minutes N]
 * [--seed N] [--replay FILE]`. Without a target, all of them get the same share of the time. Every input is tried in a child process whose
 * time and memory are watched. What fails is written to the package's `fuzz/found/`; put it into `fuzz/corpus/TARGET/` once
 * it is fixed, and `pnpm test` tries it ever after.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inflateRawSync } from 'node:zlib';
import { Campaign } from './campaign.ts';
import { fuzzedPackages, loadTargets } from './target.ts';

/** Packages that together are what a guest can drive, and what comes between. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  guest: ['devices', 'vhost-user', 'device-process'],
};

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    /** An input that was found, to be tried in this process and shown. */
    replay: { type: 'string' },
  },
  allowPositionals: true,
});
const [suite = '', wanted] = positionals;
const packages = fuzzedPackages();
const members = GROUPS[suite] ?? [suite];
const found: { readonly packageName: string; readonly target: string }[] = [];
for (const packageName of packages.filter((name) => members.includes(name))) {
  const names = Object.keys(await loadTargets(packageName));
  found.push(...names.map((target) => ({ packageName, target })));
}
if (found.length === 0) usage([...Object.keys(GROUPS), ...packages].join('|'), '[TARGET]');
const chosen = found.filter(({ target }) => wanted === undefined || target === wanted);
if (chosen.length === 0) usage(suite, found.map(({ target }) => target).join('|'));

if (values.replay === undefined) await fuzz();
else await replay(values.replay);

/** Every target that was chosen gets the same share of the time. */
async function fuzz(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
  const milliseconds = (Number(values.minutes) * 60_000) / chosen.length;
  try {
    for (const { packageName, target } of chosen) {
      const campaign = new Campaign(packageName, target, join(folder, 'input'));
      await campaign.run(Number(values.seed), milliseconds);
      console.log(campaign.summary);
      if (campaign.failures > 0) process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function replay(file: string): Promise<void> {
  const bytes = inflateRawSync(readFileSync(file));
  for (const { packageName, target: name } of chosen) {
    const target = (await loadTargets(packageName))[name];
    console.log(target?.describe?.(bytes) ?? `${bytes.length} bytes`);
    await target?.exercise(bytes);
    await target?.close?.();
    console.log(`${packageName} ${name}: nothing wrong`);
  }
}

function usage(suites: string, targetNames: string): never {
  console.error(`usage: pnpm fuzz ${suites} ${targetNames} [--minutes N] [--seed N]`);
  process.exit(2);
}
