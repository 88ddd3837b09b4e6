// Builds the add-on. `build` compiles for this checkout, `prebuilt` makes what the published package carries, `install`
// is for who installs that package: it does nothing where a prebuild fits, and nothing in a checkout, where `build` does
// the work once and its result is cached.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

/** The directory whose include/node holds the headers of the running Node, when it came with them. */
function bundledHeaders() {
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

/** Runs a package's program under this Node and ends with its status when it fails. */
function run(program, args) {
  const { status, error } = spawnSync(process.execPath, [program, ...args], {
    cwd: packageRoot,
    stdio: 'inherit',
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/**
 * Compiles what is not compiled yet into build/Release. Not 'rebuild': that would take the add-on away from whoever runs
 * meanwhile. Without bundled headers node-gyp downloads them.
 */
function build() {
  const headers = bundledHeaders();
  const options = headers ? [`--nodedir=${headers}`] : [];
  run(require.resolve('node-gyp/bin/node-gyp.js'), ['configure', 'build', '--silent', ...options]);
}

/** Puts the add-on, without its debug information, where node-gyp-build looks for it on machines like this one. */
function makePrebuild() {
  const { name } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
  const prebuild = `${name.replace('/', '+')}.${libc}.node`;
  const release = join(packageRoot, 'build/Release');
  const addon = readdirSync(release).find((file) => file.endsWith('.node'));
  const directory = join(packageRoot, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(directory, { recursive: true });
  const unfinished = join(directory, 'unfinished');
  execFileSync('strip', ['-o', unfinished, join(release, addon)], { stdio: 'inherit' });
  renameSync(unfinished, join(directory, prebuild));
  for (const other of readdirSync(directory).filter((file) => file !== prebuild))
    rmSync(join(directory, other));
}

switch (process.argv[2]) {
  case 'build':
    build();
    break;
  case 'prebuilt':
    build();
    makePrebuild();
    break;
  case 'install':
    if (existsSync(join(packageRoot, '../../pnpm-workspace.yaml'))) break;
    run(join(dirname(require.resolve('node-gyp-build')), 'bin.js'), []);
    break;
  default:
    console.error('usage: node native/build.mjs build|prebuilt|install');
    process.exit(2);
}
