/**
 * Builds the native add-on of the package in the working directory, which its scripts do:
 *
 *     node ../../tools/native-addon.ts build                 for this checkout, into build/Release
 *     node ../../tools/native-addon.ts prebuilt [ARCH...]    what the published package carries, into prebuilds/
 *
 * ARCH is Node's name of an architecture; without one it is all that the package ships. This machine's own is what `build`
 * made; the others are compiled with Debian's cross compilers, against the same headers: Node's do not depend on the
 * architecture. What is compiled is kept in build/, so that only what changed is compiled again.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { Manifest } from './workspace.ts';

/** The architectures that packages carry add-ons for, with the prefix of Debian's tool chain for each. */
const TOOL_CHAINS: ReadonlyMap<string, string> = new Map([
  ['x64', 'x86_64-linux-gnu'],
  ['arm64', 'aarch64-linux-gnu'],
  ['riscv64', 'riscv64-linux-gnu'],
]);

const packageRoot = process.cwd();
const require = createRequire(import.meta.url);

const [command, ...architectures] = process.argv.slice(2);
switch (command) {
  case 'build':
    compile(packageRoot, []);
    break;
  case 'prebuilt':
    for (const architecture of architectures.length > 0 ? architectures : TOOL_CHAINS.keys())
      makePrebuild(architecture);
    break;
  default:
    fail('usage: native-addon.ts build | prebuilt [ARCH...]', 2);
}

/** Puts an add-on, without its debug information, where node-gyp-build looks for it on machines of an architecture. */
function makePrebuild(architecture: string): void {
  const { release, strip, libc } = architecture === process.arch ? ownBuild() : crossBuild(architecture);
  const { name }: Manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
  const prebuild = `${name.replace('/', '+')}.${libc}.node`;
  const addon = readdirSync(release).find((file) => file.endsWith('.node'));
  if (addon === undefined) fail(`${release} has no add-on.`);
  const directory = join(packageRoot, 'prebuilds', `${process.platform}-${architecture}`);
  mkdirSync(directory, { recursive: true });
  // Whoever loads the add-on meanwhile has the old file or the new one.
  const unfinished = join(directory, `unfinished-${process.pid}`);
  execFileSync(strip, ['-o', unfinished, join(release, addon)], { stdio: 'inherit' });
  renameSync(unfinished, join(directory, prebuild));
  for (const other of readdirSync(directory).filter((file) => file !== prebuild))
    rmSync(join(directory, other), { force: true });
}

/** Where an add-on was compiled, and what else its prebuild depends on. */
interface Build {
  readonly release: string;
  readonly strip: string;
  readonly libc: 'glibc' | 'musl';
}

function ownBuild(): Build {
  compile(packageRoot, []);
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const libc = header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
  return { release: join(packageRoot, 'build/Release'), strip: 'strip', libc };
}

/** node-gyp always compiles into build/ beside binding.gyp: another architecture has a directory that stands for this one. */
function crossBuild(architecture: string): Build {
  const prefix = TOOL_CHAINS.get(architecture);
  if (prefix === undefined) {
    fail(`There is no tool chain for '${architecture}'; there are ${[...TOOL_CHAINS.keys()].join(', ')}.`);
  }
  const compiler = `${prefix}-g++`;
  if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).error) {
    fail(
      `There is no ${compiler} for the add-on of ${architecture}. Install it: node tools/host-packages.mjs test`,
    );
  }
  const directory = join(packageRoot, 'build', `${process.platform}-${architecture}`);
  mkdirSync(directory, { recursive: true });
  for (const name of ['binding.gyp', 'native', 'package.json', 'node_modules']) {
    if (!existsSync(join(directory, name))) symlinkSync(join(packageRoot, name), join(directory, name));
  }
  const tools = { CC: `${prefix}-gcc`, CXX: compiler, AR: `${prefix}-ar`, LINK: compiler };
  compile(directory, [`--arch=${architecture}`], tools);
  return { release: join(directory, 'build/Release'), strip: `${prefix}-strip`, libc: 'glibc' };
}

/**
 * Compiles what is not compiled yet into `build/Release` of a directory. Not 'rebuild': that would take the add-on away
 * from whoever runs meanwhile. Without bundled headers node-gyp downloads them.
 */
function compile(directory: string, options: readonly string[], tools: NodeJS.ProcessEnv = {}): void {
  const headers = bundledHeaders();
  const nodedir = headers === undefined ? [] : [`--nodedir=${headers}`];
  const gyp = require.resolve('node-gyp/bin/node-gyp.js');
  const { status, error } = spawnSync(
    process.execPath,
    [gyp, 'configure', 'build', '--silent', ...nodedir, ...options],
    { cwd: directory, stdio: 'inherit', env: { ...process.env, ...tools } },
  );
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** The directory whose include/node holds the headers of the running Node, when it came with them. */
function bundledHeaders(): string | undefined {
  const prefix = resolve(dirname(process.execPath), '..');
  const architecture = `node-${process.platform}-${process.arch}`;
  const candidates = [prefix, join(prefix, 'node_modules', architecture), join(prefix, '..', architecture)];
  const [major, minor, patch] = process.versions.node.split('.');
  return candidates.find((candidate) => {
    const header = join(candidate, 'include/node/node_version.h');
    if (!existsSync(header)) return false;
    const text = readFileSync(header, 'utf8');
    return (
      text.includes(`#define NODE_MAJOR_VERSION ${major}\n`) &&
      text.includes(`#define NODE_MINOR_VERSION ${minor}\n`) &&
      text.includes(`#define NODE_PATCH_VERSION ${patch}\n`)
    );
  });
}

function fail(message: string, status = 1): never {
  console.error(message);
  process.exit(status);
}
