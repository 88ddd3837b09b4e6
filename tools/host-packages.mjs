// Installs what Debian must provide: `build` (a C++ tool chain for the add-ons) or `test` (the programs that tests and
// benchmarks compare with). Plain JavaScript for the machine's own Node: it runs before anything of the workspace is
// installed, and takes a few milliseconds when nothing is missing.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian packages, each with the program or the file that shows that it is installed. */
const PACKAGES = {
  build: {
    'g++': 'g++',
    make: 'make',
    python3: 'python3',
  },
  test: {
    'acpica-tools': 'iasl',
    cpio: 'cpio',
    'device-tree-compiler': 'dtc',
    dmidecode: 'dmidecode',
    e2fsprogs: 'mkfs.ext4',
    fio: 'fio',
    fdisk: 'sfdisk',
    'g++-aarch64-linux-gnu': 'aarch64-linux-gnu-g++',
    'g++-riscv64-linux-gnu': 'riscv64-linux-gnu-g++',
    'g++-x86-64-linux-gnu': 'x86_64-linux-gnu-g++',
    git: 'git',
    'libc6-dev-riscv64-cross': '/usr/riscv64-linux-gnu/include/stdio.h',
    lz4: 'lz4',
    pciutils: 'lspci',
    'qemu-system-common': 'qemu-storage-daemon',
    'qemu-system-misc': 'qemu-system-riscv64',
    'qemu-system-x86': 'qemu-system-x86_64',
    'qemu-user-static': 'qemu-riscv64-static',
    'qemu-utils': 'qemu-img',
    tar: 'tar',
    seabios: '/usr/share/seabios/bios-256k.bin',
    'util-linux': 'blkid',
    'xz-utils': 'xz',
    zstd: 'zstd',
  },
};

const purpose = process.argv[2] ?? '';
const wanted = Object.hasOwn(PACKAGES, purpose) ? PACKAGES[purpose] : undefined;
if (!wanted) {
  console.error(`usage: host-packages.mjs ${Object.keys(PACKAGES).join('|')}`);
  process.exit(2);
}

// Administrators' programs are not on everybody's PATH.
const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];

function isThere(program) {
  const candidates = program.startsWith('/')
    ? [program]
    : directories.map((directory) => join(directory, program));
  const mode = program.startsWith('/') ? constants.F_OK : constants.X_OK;
  return candidates.some((path) => {
    try {
      accessSync(path, mode);
      return true;
    } catch {
      return false;
    }
  });
}

const missing = Object.keys(wanted).filter((name) => !isThere(wanted[name]));
if (missing.length > 0) install(missing);

function install(names) {
  const isRoot = process.getuid?.() === 0;
  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...names];
  if (!isThere('apt-get') || (!isRoot && !isThere('sudo'))) {
    console.error(`tsvmm needs these Debian packages to ${purpose}: ${names.join(' ')}`);
    console.error(`Install them as root, then run the command again: ${command.join(' ')}`);
    process.exit(1);
  }
  console.error(`Installing what Debian has to provide to ${purpose} tsvmm: ${names.join(' ')}`);
  for (const step of [['apt-get', 'update'], command]) {
    const [program, ...rest] = isRoot ? step : ['sudo', ...step];
    const shown = [program, ...rest].join(' ');
    console.error(`> ${shown}`);
    const { status, signal, error } = spawnSync(program, rest, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    if (status === 0) continue;
    const how = error ? error.message : signal ? `was ended by ${signal}` : `failed with status ${status}`;
    console.error(`'${shown}' ${how}. Install the packages as root and run the command again.`);
    process.exit(1);
  }
  const still = names.filter((name) => !isThere(wanted[name]));
  if (still.length > 0) {
    console.error(`Installed, but not found on the PATH: ${still.map((name) => wanted[name]).join(' ')}`);
    process.exit(1);
  }
}
