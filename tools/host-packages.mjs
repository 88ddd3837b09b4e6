// Installs what Debian must provide: `build` (a C++ tool chain for the add-ons) or `test` (the oracles the tests
// compare with). Plain JavaScript for the machine's own Node: it runs before anything of the workspace is installed.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The program whose presence shows that the Debian package is installed. */
const PACKAGES = {
  build: { 'g++': 'g++', make: 'make', python3: 'python3' },
  test: {
    'qemu-system-riscv64': 'qemu-system-misc',
    'qemu-riscv64-static': 'qemu-user-static',
    'qemu-img': 'qemu-utils',
    'riscv64-linux-gnu-gcc': 'gcc-riscv64-linux-gnu',
    dtc: 'device-tree-compiler',
    cpio: 'cpio',
  },
};

const purpose = process.argv[2] ?? '';
const wanted = PACKAGES[purpose];
if (!wanted) {
  console.error(`usage: host-packages.mjs ${Object.keys(PACKAGES).join('|')}`);
  process.exit(2);
}

const directories = (process.env.PATH ?? '').split(delimiter);
const isInstalled = (program) =>
  directories.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

const missing = Object.entries(wanted).flatMap(([program, name]) => (isInstalled(program) ? [] : [name]));
if (missing.length > 0) {
  const isRoot = process.getuid?.() === 0;
  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing];
  if (!isInstalled('apt-get') || (!isRoot && !isInstalled('sudo'))) {
    console.error(`tsvmm needs these Debian packages for its ${purpose}: ${missing.join(' ')}`);
    console.error(`Install them as root, then run the command again: ${command.join(' ')}`);
    process.exit(1);
  }
  const elevated = isRoot ? [] : ['sudo'];
  for (const step of [['apt-get', 'update'], command]) {
    const [program, ...rest] = [...elevated, ...step];
    console.error(`> ${program} ${rest.join(' ')}`);
    const { status } = spawnSync(program, rest, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    if (status !== 0) {
      console.error(
        `'${program} ${rest.join(' ')}' failed with status ${status}; its output above says why.`,
      );
      process.exit(1);
    }
  }
}
