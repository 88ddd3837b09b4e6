// The install script of the published package: takes a prebuilt add-on where one fits this machine, or compiles one.
// In a checkout there is nothing to do, because the build compiles the add-on once and its result is cached.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
if (!existsSync(join(packageRoot, '../../pnpm-workspace.yaml'))) {
  const { resolve } = createRequire(import.meta.url);
  const program = join(dirname(resolve('node-gyp-build')), 'bin.js');
  const { status } = spawnSync(process.execPath, [program], { cwd: packageRoot, stdio: 'inherit' });
  process.exit(status ?? 1);
}
