import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DebianPackage, PrivateApt } from './apt.ts';
import { type GuestArchitecture, guestArchitecture } from './architecture.ts';
import { GuestImageError } from './errors.ts';
import {
  DEFAULT_SUITE,
  discard,
  type Guest,
  type GuestManifest,
  type GuestSelection,
  guestOf,
  MANIFEST,
  readManifest,
} from './guest.ts';
import { GUEST_MODULES } from './guest-modules.ts';
import { buildInitramfs, GUEST_FILES, guestFile } from './initramfs.ts';
import { lockFile } from './lock.ts';
import { updateFromMirrors } from './mirror.ts';
import { defaultCacheDirectory, type GuestPaths, guestPaths } from './paths.ts';
import { run } from './process.ts';

/** What a fetch is at. `fraction` runs from 0 to 1 within a phase. */
export interface FetchProgress {
  /**
   * `wait`: another process fetches the same guest; `index`: the list of packages; `download`: the packages;
   * `unpack`: their files; `pack`: the initramfs.
   */
  readonly phase: 'wait' | 'index' | 'download' | 'unpack' | 'pack';
  readonly fraction: number;
  /** Bytes of the packages that have arrived, in the phase `download`. */
  readonly bytes?: number;
  /** Bytes of the packages, in the phase `download`. */
  readonly total?: number;
}

export interface FetchOptions extends GuestSelection {
  /** URI of a Debian archive, in place of the one that the host's apt is configured with. */
  readonly mirror?: string | undefined;
  /** Looks for a newer kernel even though the guest is there. */
  readonly refresh?: boolean;
  readonly onProgress?: (progress: FetchProgress) => void;
}

const USERLAND_PACKAGE = 'busybox-static';
/** For the initramfs and file system overhead, beside what the packages take. */
const SPARE_BYTES = 64 * 2 ** 20;

/**
 * Makes a guest of Debian's kernel and busybox, or finds the one made before: that takes no process and no network.
 * Many processes may do so at once; one works, the others wait and use what it made. What was downloaded before an
 * abort or failure is not downloaded again.
 * @throws {GuestImageError} any of its codes
 * @throws the reason of `signal` when it is aborted
 */
export async function fetchGuest(options: FetchOptions): Promise<Guest> {
  const { cacheDirectory = defaultCacheDirectory(), suite = DEFAULT_SUITE, signal } = options;
  const architecture = guestArchitecture(options.architecture);
  const paths = guestPaths(cacheDirectory, architecture, suite);
  const recipe = await initrdRecipe();
  const isCurrent = (manifest: GuestManifest | undefined) => manifest?.recipe === recipe;

  let manifest = await readManifest(paths.guest);
  if (manifest && isCurrent(manifest) && !options.refresh) return guestOf(paths.guest, manifest);

  const report = options.onProgress ?? (() => {});
  try {
    await using _lock = await lockFile(paths.lock, () => report({ phase: 'wait', fraction: 0 }), signal);
    manifest = await readManifest(paths.guest);
    if (manifest === undefined || options.refresh) {
      manifest = await new GuestFetch(paths, architecture, suite, options, report).run(manifest, recipe);
    } else if (!isCurrent(manifest)) {
      manifest = await packInitrd(paths.guest, manifest, recipe, report, signal);
    }
    return guestOf(paths.guest, manifest);
  } catch (error) {
    throw asNoSpace(error, cacheDirectory);
  }
}

/** One way from the archive to a guest's directory, under the lock. */
class GuestFetch {
  readonly #paths: GuestPaths;
  readonly #architecture: GuestArchitecture;
  readonly #suite: string;
  readonly #mirror: string | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #report: (progress: FetchProgress) => void;
  readonly #apt: PrivateApt;

  constructor(
    paths: GuestPaths,
    architecture: GuestArchitecture,
    suite: string,
    options: FetchOptions,
    report: (progress: FetchProgress) => void,
  ) {
    this.#paths = paths;
    this.#architecture = architecture;
    this.#suite = suite;
    this.#mirror = options.mirror;
    this.#signal = options.signal;
    this.#report = report;
    this.#apt = new PrivateApt(paths.apt, architecture, suite);
  }

  async run(present: GuestManifest | undefined, recipe: string): Promise<GuestManifest> {
    const onIndex = (fraction: number) => this.#report({ phase: 'index', fraction });
    await updateFromMirrors(this.#apt, this.#mirror, onIndex, this.#signal);
    const kernel = await this.#kernelPackage();
    const userland = await this.#apt.show(USERLAND_PACKAGE, this.#signal);
    if (present && kernel.name === `linux-image-${present.kernelVersion}` && present.recipe === recipe) {
      return present;
    }
    const [kernelFile = '', userlandFile = ''] = await this.#download([kernel, userland]);
    const manifest = await this.#unpack(kernelFile, userlandFile);
    const finished = await packInitrd(this.#paths.partial, manifest, recipe, this.#report, this.#signal);
    await discard(this.#paths.guest, this.#paths.discarded);
    await rename(this.#paths.partial, this.#paths.guest);
    await this.#apt.clean();
    return finished;
  }

  /** The package with the kernel, behind the one that always depends on the newest. */
  async #kernelPackage(): Promise<DebianPackage> {
    const newest = await this.#apt.show(`linux-image-${this.#architecture}`, this.#signal);
    const name = newest.depends.find((dependency) => dependency.startsWith('linux-image-'));
    if (name === undefined) throw badPackage(newest.name, 'it depends on no kernel');
    return this.#apt.show(name, this.#signal);
  }

  async #download(packages: readonly DebianPackage[]): Promise<string[]> {
    const total = packages.reduce((sum, { size }) => sum + size, 0);
    const unpacked = packages.reduce((sum, { installedSize }) => sum + installedSize, 0);
    const { bavail, bsize } = await statfs(this.#paths.apt);
    const needed = total + unpacked + SPARE_BYTES;
    if (bavail * bsize < needed) {
      const missing = Math.ceil((needed - bavail * bsize) / 2 ** 20);
      throw new GuestImageError(
        'NO_SPACE',
        `The guest needs ${missing} MiB more of space in ${this.#paths.apt}.`,
      );
    }
    const onProgress = (fraction: number) =>
      this.#report({ phase: 'download', fraction, bytes: Math.round(fraction * total), total });
    onProgress(0);
    return this.#apt.download(packages, onProgress, this.#signal);
  }

  async #unpack(kernelFile: string, userlandFile: string): Promise<GuestManifest> {
    const { partial } = this.#paths;
    const scratch = join(partial, 'unpacked');
    await rm(partial, { recursive: true, force: true });
    await mkdir(scratch, { recursive: true });
    this.#report({ phase: 'unpack', fraction: 0 });
    await unpackPackage(userlandFile, scratch, this.#signal);
    await unpackPackage(kernelFile, scratch, this.#signal);
    this.#report({ phase: 'unpack', fraction: 1 });

    const bootFiles = await readdir(join(scratch, 'boot'));
    const image = bootFiles.find((name) => /^vmlinu[xz]-/.test(name));
    if (image === undefined) throw badPackage(kernelFile, 'it has no /boot/vmlinux-* or /boot/vmlinuz-*');
    const kernelVersion = image.slice(image.indexOf('-') + 1);
    const move = async (to: string, ...candidates: string[]) => {
      for (const from of candidates) {
        if (await stat(join(scratch, from)).catch(() => undefined)) {
          return rename(join(scratch, from), join(partial, to));
        }
      }
      throw badPackage(`${kernelFile}, ${userlandFile}`, `there is no ${candidates.join(' or ')}`);
    };
    const config = `config-${kernelVersion}`;
    const modules = `modules/${kernelVersion}`;
    await mkdir(join(partial, 'modules'));
    await move(image, `boot/${image}`);
    await move(config, `boot/${config}`);
    await move(modules, `usr/lib/modules/${kernelVersion}`, `lib/modules/${kernelVersion}`);
    await move('busybox', 'usr/bin/busybox', 'bin/busybox');
    await rm(scratch, { recursive: true });
    return {
      architecture: this.#architecture,
      suite: this.#suite,
      kernelVersion,
      kernel: image,
      initrd: '',
      config,
      modules,
      busybox: 'busybox',
      recipe: '',
    };
  }
}

/** Packs the initramfs of the guest in a directory and notes it there; both files appear at once or not at all. */
async function packInitrd(
  directory: string,
  manifest: GuestManifest,
  recipe: string,
  report: (progress: FetchProgress) => void,
  signal: AbortSignal | undefined,
): Promise<GuestManifest> {
  report({ phase: 'pack', fraction: 0 });
  const guest = guestOf(directory, manifest);
  const archive = await buildInitramfs({
    busybox: guest.busybox,
    modulesDirectory: guest.modules,
    optionalModules: GUEST_MODULES,
    signal,
  });
  const packed: GuestManifest = {
    ...manifest,
    recipe,
    initrd: `initrd-${manifest.kernelVersion}-${recipe}.cpio`,
  };
  await replaceFile(join(directory, packed.initrd), archive);
  await replaceFile(join(directory, MANIFEST), `${JSON.stringify(packed, undefined, 2)}\n`);
  if (manifest.initrd && manifest.initrd !== packed.initrd) await rm(guest.initrd, { force: true });
  report({ phase: 'pack', fraction: 1 });
  return packed;
}

async function replaceFile(path: string, data: Uint8Array | string): Promise<void> {
  await writeFile(`${path}.new`, data);
  await rename(`${path}.new`, path);
}

/** Raised when this package makes another initramfs of the same files. */
const RECIPE_VERSION = 3;

/** Names what the initrd is made by: the guest's files, the list of its modules and this package's way with them. */
async function initrdRecipe(): Promise<string> {
  const hash = createHash('sha256').update(`${RECIPE_VERSION}\n`);
  for (const name of GUEST_FILES) hash.update(await guestFile(name));
  return hash.update(GUEST_MODULES.join()).digest('hex').slice(0, 12);
}

async function unpackPackage(file: string, directory: string, signal?: AbortSignal): Promise<void> {
  const { status, stderr } = await run('dpkg-deb', ['--extract', file, directory], { signal });
  if (status !== 0) throw badPackage(file, stderr.trim());
}

function badPackage(what: string, reason: string): GuestImageError {
  return new GuestImageError('BAD_PACKAGE', `No guest can be made of ${what}: ${reason}.`);
}

export function asNoSpace(error: unknown, cacheDirectory: string): unknown {
  const isFull =
    error instanceof Error &&
    (('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) ||
      (error instanceof GuestImageError && error.message.includes('No space left on device')));
  if (!isFull) return error;
  return new GuestImageError('NO_SPACE', `There is no space left in ${cacheDirectory}: ${error.message}`, {
    cause: error,
  });
}
