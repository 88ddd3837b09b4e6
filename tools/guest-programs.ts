import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { copyFile, mkdir, mkdtempDisposable, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createDisk } from '../packages/disk/src/index.ts';
import { makeFilesystem, planFilesystem, scanDirectory } from '../packages/ext2/src/index.ts';
import { defaultCacheDirectory, fetchTree, type Guest } from '../packages/guest-image/src/index.ts';

const MIB = 2 ** 20;
/** What programs' loaders, and Debian's paths, expect to be links into /usr. */
const MERGED_DIRECTORIES = ['bin', 'sbin', 'lib', 'lib64'];
/** Where the guest puts what programs need to find. */
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'tmp', 'mnt'];

/** Makes a raw image with an ext4 file system of a directory's files, which are root's there. */
export async function makeDirectoryImage(path: string, directory: string): Promise<void> {
  const entries = () => scanDirectory(directory, { owner: { uid: 0, gid: 0 }, xattrs: false });
  const plan = await planFilesystem(entries(), { freeSpace: 4 * MIB });
  await using disk = await createDisk(path, { format: 'raw', size: plan.size });
  await makeFilesystem(disk, entries(), plan);
}

/**
 * Makes an image of programs from Debian packages, for a guest that mounts it and changes its root there.
 *
 * @param programs names in /usr/bin
 */
export async function makeProgramsImage(
  path: string,
  { architecture, suite }: Pick<Guest, 'architecture' | 'suite'>,
  packages: readonly string[],
  programs: readonly string[],
): Promise<void> {
  const directory = join(
    defaultCacheDirectory(),
    'programs',
    `${suite}-${architecture}-${packages.join('-')}`,
  );
  await mkdir(dirname(directory), { recursive: true });
  const tree = await fetchTree({ architecture, suite, packages, directory });
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tsvmm-programs-'));
  for (const name of MOUNT_POINTS) await mkdir(join(folder.path, name));
  for (const name of MERGED_DIRECTORIES) {
    await mkdir(join(folder.path, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(folder.path, name));
  }
  for (const file of filesOf(
    tree,
    programs.map((name) => `usr/bin/${name}`),
  )) {
    await mkdir(join(folder.path, dirname(file)), { recursive: true });
    await copyFile(join(tree, file), join(folder.path, file));
  }
  await makeDirectoryImage(path, folder.path);
}

/** Paths of programs in a tree, of the libraries that they are linked with, and of the loader that finds these. */
function filesOf(tree: string, programs: readonly string[]): ReadonlySet<string> {
  const libraries = new Map(
    globSync('usr/lib*/**/*.so*', { cwd: tree }).map((path) => [basename(path), path] as const),
  );
  const files = new Set([...programs, ...globSync('usr/lib*/ld-*.so*', { cwd: tree })]);
  // What is added while it is walked is walked, too.
  for (const file of files) {
    const dynamic = execFileSync('readelf', ['--dynamic', '--wide', join(tree, file)], { encoding: 'utf8' });
    for (const [, name = ''] of dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)) {
      const library = libraries.get(name);
      if (library === undefined) throw new Error(`${file} needs ${name}, which no package has`);
      files.add(library);
    }
  }
  return files;
}
