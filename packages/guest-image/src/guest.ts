import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GUEST_ARCHITECTURES, type GuestArchitecture, guestArchitecture } from './architecture.ts';
import { lockFile } from './lock.ts';
import { defaultCacheDirectory, guestPaths, guestsDirectory } from './paths.ts';

/** A guest on disk, ready to boot. All paths are absolute. */
export interface Guest {
  readonly architecture: GuestArchitecture;
  /** The Debian release, by code name. */
  readonly suite: string;
  /** What `uname -r` prints in the guest. */
  readonly kernelVersion: string;
  /** The kernel, as Debian's package has it in `/boot`. */
  readonly kernel: string;
  /** The initramfs, an uncompressed cpio archive. */
  readonly initrd: string;
  /** The kernel's build configuration (`.config`). */
  readonly config: string;
  /** The kernel's modules directory, as under `/lib/modules`. */
  readonly modules: string;
  /** A statically linked busybox of the guest's architecture. */
  readonly busybox: string;
}

/** `guest.json` in a guest's directory: a {@link Guest} with paths relative to that directory. */
export interface GuestManifest extends Guest {
  /** What the initrd was made by; another recipe means that it is made anew. */
  readonly recipe: string;
}

export const MANIFEST = 'guest.json';
/** The release guests are made of unless another is asked for. */
export const DEFAULT_SUITE = 'trixie';

/** Reads the manifest of a guest's directory; undefined when there is no whole guest. */
export async function readManifest(directory: string): Promise<GuestManifest | undefined> {
  try {
    const manifest: GuestManifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8'));
    await Promise.all([manifest.kernel, manifest.initrd].map((file) => stat(join(directory, file))));
    return manifest;
  } catch {
    return undefined;
  }
}

/** The guest that a manifest in a directory describes. */
export function guestOf(directory: string, manifest: GuestManifest): Guest {
  return {
    architecture: manifest.architecture,
    suite: manifest.suite,
    kernelVersion: manifest.kernelVersion,
    kernel: join(directory, manifest.kernel),
    initrd: join(directory, manifest.initrd),
    config: join(directory, manifest.config),
    modules: join(directory, manifest.modules),
    busybox: join(directory, manifest.busybox),
  };
}

/** Where guests are looked for. */
export interface CacheOptions {
  /** {@link defaultCacheDirectory} without it. */
  readonly cacheDirectory?: string | undefined;
}

/** The guests that have been fetched, by architecture, then suite. */
export async function listGuests({ cacheDirectory }: CacheOptions = {}): Promise<Guest[]> {
  const guests = guestsDirectory(cacheDirectory ?? defaultCacheDirectory());
  const names = await readdir(guests).catch(() => []);
  const found: Guest[] = [];
  for (const name of names.filter((name) => !name.startsWith('.')).toSorted()) {
    const manifest = await readManifest(join(guests, name));
    if (manifest) found.push(guestOf(join(guests, name), manifest));
  }
  const rank = (guest: Guest) => GUEST_ARCHITECTURES.indexOf(guest.architecture);
  return found.toSorted((a, b) => rank(a) - rank(b));
}

/** Which guest. */
export interface GuestSelection extends CacheOptions {
  /** Debian's name or the kernel's. */
  readonly architecture: string;
  /** Code name of the Debian release, {@link DEFAULT_SUITE} without it. */
  readonly suite?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Removes a guest and what is kept to fetch it anew. A virtual machine that runs it is not disturbed: it has what it
 * needs in memory.
 * @returns whether there was one
 * @throws {GuestImageError} UNSUPPORTED_ARCHITECTURE, INVALID_ARGUMENT, NO_APT
 */
export async function removeGuest(selection: GuestSelection): Promise<boolean> {
  const { cacheDirectory = defaultCacheDirectory(), suite = DEFAULT_SUITE, signal } = selection;
  const paths = guestPaths(cacheDirectory, guestArchitecture(selection.architecture), suite);
  await using _lock = await lockFile(paths.lock, () => {}, signal);
  const existed = await discard(paths.guest, paths.discarded);
  await rm(paths.partial, { recursive: true, force: true });
  await rm(paths.apt, { recursive: true, force: true });
  return existed;
}

/** Takes a directory away at once, then removes it. */
export async function discard(directory: string, discarded: string): Promise<boolean> {
  await rm(discarded, { recursive: true, force: true });
  const existed = await rename(directory, discarded).then(
    () => true,
    () => false,
  );
  await rm(discarded, { recursive: true, force: true });
  return existed;
}
