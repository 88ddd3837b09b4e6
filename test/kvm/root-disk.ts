import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createDisk } from '../../packages/disk/src/index.ts';
import { makeFilesystem, planFilesystem, scanDirectory } from '../../packages/ext2/src/index.ts';
import type { Guest } from '../../packages/guest-image/src/index.ts';

const MIB = 2 ** 20;
const DIRECTORIES = ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp', 'usr/bin'];

/** PID 1 of the root: a shell on the console. It stays, so that the shell can power off. */
const INIT = `#!/bin/busybox sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/root
/bin/busybox --install -s /bin
cd /root
setsid cttyhack sh -l
`;
const PROFILE = "PS1='tsvmm:\\w# '\n";

/** What a root disk has besides busybox. */
export interface RootDiskOptions {
  /** Paths of programs of this host, which come with the libraries that they need. */
  readonly programs?: readonly string[];
  /** Scripts in /root, by name. */
  readonly scripts?: Readonly<Record<string, string>>;
}

/** Makes a raw image with an ext4 file system that the kernel can have as its root. */
export async function makeRootDisk(
  path: string,
  { busybox }: Guest,
  { programs = [], scripts = {} }: RootDiskOptions = {},
): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tsvmm-root-'));
  const root = folder.path;
  for (const name of DIRECTORIES) await mkdir(join(root, name), { recursive: true });
  await copyFile(busybox, join(root, 'bin/busybox'));
  await chmod(join(root, 'bin/busybox'), 0o755);
  await symlink('busybox', join(root, 'bin/sh'));
  await writeFile(join(root, 'sbin/init'), INIT, { mode: 0o755 });
  await writeFile(join(root, 'etc/profile'), PROFILE);
  for (const program of programs) {
    await copyFile(program, join(root, 'usr/bin', basename(program)));
    for (const library of librariesOf(program)) {
      await mkdir(join(root, dirname(library)), { recursive: true });
      await copyFile(library, join(root, library));
    }
  }
  for (const [name, text] of Object.entries(scripts)) await writeFile(join(root, 'root', name), text);

  const entries = () => scanDirectory(root, { owner: { uid: 0, gid: 0 }, xattrs: false });
  const plan = await planFilesystem(entries(), { freeSpace: 4 * MIB });
  await using disk = await createDisk(path, { format: 'raw', size: plan.size });
  await makeFilesystem(disk, entries(), plan);
}

/** Paths of the libraries that a program is linked with, and of the loader that finds them. */
function librariesOf(program: string): readonly string[] {
  const output = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...output.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => path ?? []);
}
