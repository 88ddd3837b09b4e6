import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestArchitecture } from './architecture.ts';
import { GuestImageError } from './errors.ts';
import { type Finished, run } from './process.ts';

/** A package of the archive, as its index describes it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** Bytes of the `.deb`. */
  readonly size: number;
  /** Bytes it takes unpacked, about. */
  readonly installedSize: number;
  /** The alternatives' first names, without version relations. */
  readonly depends: readonly string[];
}

/** Told what apt has done of a step, from 0 to 1. */
export type AptProgress = (fraction: number) => void;

/** Where Debian keeps the keys of its archive; the package is essential to apt on Debian. */
const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.pgp',
  '/usr/share/keyrings/debian-archive-keyring.gpg',
];

/**
 * apt with state, cache and sources of its own in a directory: the system's are neither used nor touched, and no root
 * is needed. The system's apt.conf stays in force (proxies, credentials), but for what would do something to the
 * system or assumes its sources.
 */
export class PrivateApt {
  readonly #directory: string;
  readonly #architecture: GuestArchitecture;
  readonly #suite: string;

  constructor(directory: string, architecture: GuestArchitecture, suite: string) {
    this.#directory = directory;
    this.#architecture = architecture;
    this.#suite = suite;
  }

  /**
   * Fetches the index of the suite from a mirror, with its signature checked.
   * @throws {GuestImageError} FETCH_FAILED, NO_SPACE, NO_APT
   */
  async update(mirror: string, onProgress: AptProgress, signal?: AbortSignal): Promise<void> {
    for (const directory of ['state/lists/partial', 'cache/archives/partial']) {
      await mkdir(join(this.#directory, directory), { recursive: true });
    }
    await writeFile(join(this.#directory, 'status'), '');
    await writeFile(join(this.#directory, 'apt.conf'), this.#configuration());
    await writeFile(join(this.#directory, 'sources.list'), this.#sources(mirror));
    const finished = await this.#run('apt-get', ['update'], { onProgress, signal });
    if (finished.status !== 0) throw aptFailure(`the index of Debian ${this.#suite}`, finished);
  }

  /**
   * The newest version of a package.
   * @throws {GuestImageError} FETCH_FAILED when the index does not have it
   */
  async show(name: string, signal?: AbortSignal): Promise<DebianPackage> {
    const finished = await this.#run('apt-cache', ['show', '--no-all-versions', name], { signal });
    if (finished.status !== 0) throw aptFailure(`the package ${name}`, finished);
    return parsePackage(finished.stdout.toString());
  }

  /**
   * Fetches packages without their dependencies, going on where an earlier attempt was cut off.
   *
   * It is the installation that stops before it installs: `apt-get download` would begin anew. What the packages
   * depend on is noted as installed, so that apt leaves it out.
   * @returns the paths of the files, in the order of the packages
   * @throws {GuestImageError} FETCH_FAILED, NO_SPACE
   */
  async download(
    packages: readonly DebianPackage[],
    onProgress: AptProgress,
    signal?: AbortSignal,
  ): Promise<string[]> {
    const dependencies = new Set(packages.flatMap(({ depends }) => depends));
    await writeFile(join(this.#directory, 'status'), [...dependencies].map(installedStanza).join('\n'));
    const wanted = packages.map(({ name, version }) => `${name}=${version}`);
    const finished = await this.#run('apt-get', ['--download-only', 'install', ...wanted], {
      onProgress,
      signal,
    });
    if (finished.status !== 0) throw aptFailure(wanted.join(', '), finished);
    const archives = join(this.#directory, 'cache/archives');
    const files = await readdir(archives);
    return packages.map(({ name, version }) => {
      // apt writes the colon of an epoch as %3a.
      const prefix = `${name}_${version.replaceAll(':', '%3a')}_`;
      const file = files.find((candidate) => candidate.startsWith(prefix));
      if (file === undefined) throw aptFailure(`${name} (there is no file ${prefix}*)`, finished);
      return join(archives, file);
    });
  }

  /**
   * Fetches packages with all that they depend on, libc included, going on where an earlier attempt was cut off.
   * @returns the paths of the files
   * @throws {GuestImageError} FETCH_FAILED, NO_SPACE
   */
  async downloadAll(
    names: readonly string[],
    onProgress: AptProgress,
    signal?: AbortSignal,
  ): Promise<string[]> {
    await writeFile(join(this.#directory, 'status'), '');
    const finished = await this.#run('apt-get', ['--download-only', 'install', ...names], {
      onProgress,
      signal,
    });
    if (finished.status !== 0) throw aptFailure(names.join(', '), finished);
    const archives = join(this.#directory, 'cache/archives');
    const files = await readdir(archives);
    return files.filter((name) => name.endsWith('.deb')).map((name) => join(archives, name));
  }

  /** Removes what was downloaded; the index stays, so that the next update is small. */
  async clean(): Promise<void> {
    await rm(join(this.#directory, 'cache'), { recursive: true, force: true });
  }

  async #run(
    program: 'apt-get' | 'apt-cache',
    parameters: readonly string[],
    { onProgress, signal }: { onProgress?: AptProgress; signal?: AbortSignal | undefined },
  ): Promise<Finished> {
    const status = onProgress ? ['-o', 'APT::Status-Fd=3'] : [];
    return run(program, ['-c', join(this.#directory, 'apt.conf'), ...status, ...parameters], {
      signal,
      ...(onProgress ? { onStatusLine: (line) => reportStatus(line, onProgress) } : {}),
    });
  }

  #configuration(): string {
    const path = (name: string) => `"${join(this.#directory, name)}"`;
    return `# Read by apt after the system's configuration.
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "${this.#architecture}";
APT::Architectures { "${this.#architecture}"; };
APT::Default-Release "";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages { "none"; };
Acquire::GzipIndexes "true";
Acquire::Retries "3";
Dir::State ${path('state')};
Dir::State::status ${path('status')};
Dir::Cache ${path('cache')};
Dir::Cache::archives "archives/";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist ${path('sources.list')};
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
`;
  }

  #sources(mirror: string): string {
    const keyring = KEYRINGS.find((path) => existsSync(path));
    const options = [
      `arch=${this.#architecture}`,
      'target=Packages',
      ...(keyring ? [`signed-by=${keyring}`] : []),
    ];
    return `deb [${options.join(' ')}] ${mirror} ${this.#suite} main\n`;
  }
}

/** Says in dpkg's status file that a package is there, newer than any. */
function installedStanza(name: string): string {
  return [
    `Package: ${name}`,
    'Status: install ok installed',
    'Version: 999:0',
    'Architecture: all',
    'Multi-Arch: foreign',
    'Maintainer: none',
    'Description: stands for a dependency that a guest does without',
    '',
  ].join('\n');
}

/** apt's machine-readable progress: `dlstatus:ITEM:PERCENT:TEXT`. */
function reportStatus(line: string, onProgress: AptProgress): void {
  const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
  if (percent !== undefined) onProgress(Math.min(Number(percent) / 100, 1));
}

/**
 * Reads the first stanza that `apt-cache show` prints (deb-control(5)).
 * @throws {GuestImageError} FETCH_FAILED when a field is missing
 */
export function parsePackage(stanza: string): DebianPackage {
  const fields = new Map<string, string>();
  for (const line of stanza.split('\n')) {
    if (line === '' && fields.size > 0) break;
    const match = /^([!-9;-~]+):\s*(.*)$/.exec(line);
    if (match?.[1] && match[2] !== undefined) fields.set(match[1], match[2]);
  }
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value) return value;
    throw new GuestImageError('FETCH_FAILED', `The package index has a package without a ${name}: ${stanza}`);
  };
  return {
    name: field('Package'),
    version: field('Version'),
    size: Number(field('Size')),
    installedSize: Number(fields.get('Installed-Size') ?? 0) * 1024,
    depends: (fields.get('Depends') ?? '')
      .split(',')
      .flatMap((relation) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(relation)?.[1] ?? []),
  };
}

function aptFailure(what: string, { stdout, stderr }: Finished): GuestImageError {
  const complaint = /^(E|W|Err):/;
  const lines = `${stderr}\n${stdout.toString()}`.split('\n').map((line) => line.trim());
  const words = [...new Set(lines.filter((line) => complaint.test(line)))].join('\n');
  if (/No space left on device|enough free space/.test(words)) {
    return new GuestImageError('NO_SPACE', `There is no space left to fetch ${what}. apt says:\n${words}`);
  }
  return new GuestImageError(
    'FETCH_FAILED',
    `Fetching ${what} failed; try again when the cause is gone. apt says:\n${words || stderr.trim()}`,
  );
}
