import { mkdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PrivateApt } from './apt.ts';
import { guestArchitecture } from './architecture.ts';
import { GuestImageError } from './errors.ts';
import { asNoSpace, type FetchProgress } from './fetch.ts';
import { lockFile } from './lock.ts';
import { updateFromMirrors } from './mirror.ts';
import { run } from './process.ts';

export interface TreeOptions {
  /** Debian's name or the kernel's. */
  readonly architecture: string;
  /** Code name of the Debian release. */
  readonly suite: string;
  /** Names of the packages whose programs are wanted. */
  readonly packages: readonly string[];
  /** Where the tree shall be; what is there already is taken for it. */
  readonly directory: string;
  /** URI of a Debian archive, in place of the one that the host's apt is configured with. */
  readonly mirror?: string | undefined;
  readonly onProgress?: (progress: FetchProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What Debian's packages expect to be links into /usr. */
const MERGED_DIRECTORIES = ['bin', 'sbin', 'lib', 'lib64'];

/**
 * Unpacks Debian packages and all that they depend on, libc included, into a directory: what runs there is of one
 * release and one architecture, whatever this host is. No script of a package runs.
 * @returns the directory
 * @throws {GuestImageError} any of its codes
 * @throws the reason of `signal` when it is aborted
 */
export async function fetchTree(options: TreeOptions): Promise<string> {
  const { directory, signal, onProgress = () => {} } = options;
  const isThere = async () => (await stat(directory).catch(() => undefined)) !== undefined;
  if (await isThere()) return directory;
  const beside = (name: string) => join(dirname(directory), `.${basename(directory)}.${name}`);
  try {
    const onWait = () => onProgress({ phase: 'wait', fraction: 0 });
    await using _lock = await lockFile(beside('lock'), onWait, signal);
    if (await isThere()) return directory;
    const partial = beside('partial');
    await makeTree(options, beside('apt'), partial);
    await rename(partial, directory);
    await rm(beside('apt'), { recursive: true });
    return directory;
  } catch (error) {
    throw asNoSpace(error, dirname(directory));
  }
}

async function makeTree(options: TreeOptions, aptDirectory: string, partial: string): Promise<void> {
  const { suite, packages, mirror, onProgress = () => {}, signal } = options;
  const apt = new PrivateApt(aptDirectory, guestArchitecture(options.architecture), suite);
  await updateFromMirrors(apt, mirror, (fraction) => onProgress({ phase: 'index', fraction }), signal);
  onProgress({ phase: 'download', fraction: 0 });
  const onDownload = (fraction: number) => onProgress({ phase: 'download', fraction });
  const files = await apt.downloadAll(packages, onDownload, signal);

  await rm(partial, { recursive: true, force: true });
  for (const name of MERGED_DIRECTORIES) {
    await mkdir(join(partial, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(partial, name));
  }
  for (const [index, file] of files.entries()) {
    onProgress({ phase: 'unpack', fraction: index / files.length });
    await unpack(file, partial, signal);
  }
}

/** Unlike `dpkg-deb --extract` this follows the links of merged directories. */
async function unpack(file: string, directory: string, signal: AbortSignal | undefined): Promise<void> {
  const script = 'dpkg-deb --fsys-tarfile "$0" | tar --extract --keep-directory-symlink --directory "$1"';
  const { status, stderr } = await run('sh', ['-c', script, file, directory], { signal });
  if (status !== 0) throw new GuestImageError('BAD_PACKAGE', `${file} cannot be unpacked: ${stderr.trim()}.`);
}
