// Builds the add-on. `build` compiles for this checkout, `prebuilt` makes what the published package carries, `install`
// is for who installs that package: it does nothing where a prebuild fits, and nothing in a checkout, where `build` does
// the work once and its result is cached.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
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
function run(program, args, env = process.env) {
  const { status, error } = spawnSync(process.execPath, [program, ...args], {
    cwd: packageRoot,
    stdio: 'inherit',
    env,
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const headers = bundledHeaders();
const nodeGyp = () => require.resolve('node-gyp/bin/node-gyp.js');

switch (process.argv[2]) {
  case 'build':
    // Not 'rebuild': that would take the add-on away from whoever runs meanwhile. Without bundled headers node-gyp downloads
    // them.
    run(nodeGyp(), ['configure', 'build', '--silent', ...(headers ? [`--nodedir=${headers}`] : [])]);
    break;
  case 'prebuilt': {
    const env = { ...process.env, ...(headers ? { npm_config_nodedir: headers } : {}) };
    run(require.resolve('prebuildify/bin.js'), ['--napi', '--strip', '--target', process.versions.node], {
      ...env,
      PREBUILD_NODE_GYP: nodeGyp(),
    });
    break;
  }
  case 'install':
    if (existsSync(join(packageRoot, '../../pnpm-workspace.yaml'))) break;
    run(join(dirname(require.resolve('node-gyp-build')), 'bin.js'), []);
    break;
  default:
    console.error('usage: node native/build.mjs build|prebuilt|install');
    process.exit(2);
}
