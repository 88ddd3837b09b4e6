import { readFile } from 'node:fs/promises';
import { basename, posix } from 'node:path';
import { type CpioWriter, cpioArchive } from '@tsvmm/cpio';
import { GuestImageError } from './errors.ts';
import { modulesAlias, modulesDep, readBuiltin, readModules } from './modules.ts';
import { stripModule } from './strip.ts';

/** A file of an initramfs. It replaces the one that would have its path without it. */
export interface InitramfsFile {
  /** Absolute in the guest: `/etc/motd`. Its directories are made. */
  readonly path: string;
  readonly data: Uint8Array | string;
  /** Permission bits; 0o644 without it. */
  readonly mode?: number;
}

/** A symbolic link of an initramfs. */
export interface InitramfsLink {
  /** Absolute in the guest. */
  readonly path: string;
  readonly target: string;
}

export interface InitramfsOptions {
  /** Path on the host of a statically linked busybox for the guest's architecture. */
  readonly busybox: string;
  /** What the kernel starts as PID 1, in place of the guest's own `/init`. */
  readonly init?: Uint8Array | string;
  /** Name of the guest, `tsvmm` without it. */
  readonly hostname?: string;
  /** What the guest has besides. */
  readonly files?: Iterable<InitramfsFile | InitramfsLink>;
  /** The modules directory of the guest's kernel, `…/lib/modules/VERSION`; without it there are no modules. */
  readonly modulesDirectory?: string;
  /** Names of modules to take from there; what they depend on comes along, what is built in is left out. */
  readonly modules?: Iterable<string>;
  /** Names of modules to take where the kernel has them. */
  readonly optionalModules?: Iterable<string>;
  readonly signal?: AbortSignal | undefined;
}

const EXECUTABLE = 0o755;

/** The names of the files in this package's `guest` directory: they are kept there as the guest sees them. */
export const GUEST_FILES = [
  'init',
  'session',
  'shutdown',
  'filesystems',
  'fstab',
  'inittab',
  'profile',
] as const;

export function guestFile(name: (typeof GUEST_FILES)[number]): Promise<Uint8Array> {
  return readFile(new URL(`../guest/${name}`, import.meta.url));
}

/**
 * Builds an initramfs with a busybox userland: by default one that loads the drivers of what is there, then mounts
 * the `root=` of the kernel's command line or starts a shell on the console.
 *
 * The archive is not compressed: the guest would spend more time on that than the host spends on reading it.
 * @returns a cpio archive in the "newc" format (the kernel's driver-api/early-userspace/buffer-format.rst)
 * @throws {GuestImageError} BAD_MODULE, INVALID_ARGUMENT for a path that is not absolute
 */
export async function buildInitramfs(options: InitramfsOptions): Promise<Uint8Array> {
  const entries = new Map<string, InitramfsFile | InitramfsLink>();
  const own = [...(await userland(options)), ...(await moduleFiles(options))];
  for (const entry of [...own, ...(options.files ?? [])]) {
    const path = posix.normalize(entry.path);
    if (!path.startsWith('/') || path.endsWith('/')) {
      throw new GuestImageError('INVALID_ARGUMENT', `'${entry.path}' is not an absolute path of a file.`);
    }
    entries.set(path.slice(1), entry);
  }
  return cpioArchive((archive) => {
    writeDirectories(archive);
    for (const [name, entry] of entries) {
      if ('target' in entry) archive.symlink(name, entry.target);
      else archive.file(name, entry.data, entry.mode === undefined ? {} : { mode: entry.mode });
    }
  });
}

/** What is mounted on, written to by `busybox --install`, or opened by the kernel for PID 1. */
function writeDirectories(archive: CpioWriter): void {
  for (const name of ['mnt', 'proc', 'run', 'sbin', 'sys', 'sysroot', 'usr/bin', 'usr/sbin'])
    archive.directory(name);
  archive.directory('root', { mode: 0o700 });
  archive.directory('tmp', { mode: 0o1777 });
  archive.device('dev/console', 'character-device', { major: 5, minor: 1 }, { mode: 0o600 });
}

async function userland(options: InitramfsOptions): Promise<InitramfsFile[]> {
  const shutdown = await guestFile('shutdown');
  const configuration = (['filesystems', 'fstab', 'inittab', 'profile'] as const).map(async (name) => ({
    path: `/etc/${name}`,
    data: await guestFile(name),
  }));
  return [
    { path: '/init', data: options.init ?? (await guestFile('init')), mode: EXECUTABLE },
    { path: '/bin/busybox', data: await readFile(options.busybox), mode: EXECUTABLE },
    { path: '/sbin/session', data: await guestFile('session'), mode: EXECUTABLE },
    ...['poweroff', 'reboot', 'halt'].map((name) => ({
      path: `/sbin/${name}`,
      data: shutdown,
      mode: EXECUTABLE,
    })),
    ...(await Promise.all(configuration)),
    { path: '/etc/hostname', data: `${options.hostname ?? 'tsvmm'}\n` },
    { path: '/etc/passwd', data: 'root::0:0:root:/root:/bin/sh\n' },
    { path: '/etc/group', data: 'root:x:0:\ntty:x:5:\n' },
  ];
}

async function moduleFiles(options: InitramfsOptions): Promise<InitramfsFile[]> {
  const { modulesDirectory, modules = [], optionalModules = [], signal } = options;
  if (modulesDirectory === undefined) return [];
  const set = await readModules(modulesDirectory, modules, optionalModules, signal);
  const root = `/lib/modules/${basename(modulesDirectory)}`;
  return [
    ...[...set.values()].map(({ path, data }) => ({ path: `${root}/${path}`, data: stripModule(data) })),
    { path: `${root}/modules.dep`, data: modulesDep(set) },
    { path: `${root}/modules.alias`, data: modulesAlias(set) },
    { path: `${root}/modules.builtin`, data: await readBuiltin(modulesDirectory) },
  ];
}
