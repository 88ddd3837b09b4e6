import type { AptProgress, PrivateApt } from './apt.ts';
import { GuestImageError } from './errors.ts';
import { run } from './process.ts';

/** One line per index file that the host's apt would fetch; see apt-get(8), indextargets. */
const TARGET_FORMAT = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)';

/**
 * The Debian archives that the host's apt is configured with, the likeliest first. apt itself reads its
 * configuration, so every form of it counts: one-line `.list` files, deb822 `.sources`, disabled entries, options.
 * @throws {GuestImageError} NO_DEBIAN_MIRROR when there is none, NO_APT without apt
 */
export async function findDebianMirrors(signal?: AbortSignal): Promise<string[]> {
  const parameters = ['--no-release-info', 'indextargets', '--format', TARGET_FORMAT, 'Created-By: Packages'];
  const { stdout } = await run('apt-get', parameters, { signal });
  const mirrors = debianMirrors(stdout.toString());
  if (mirrors.length === 0) {
    throw new GuestImageError(
      'NO_DEBIAN_MIRROR',
      "The guest is made of Debian packages, and this host's apt has no Debian archive among its sources. " +
        'Name one as the mirror (https://mirror.example.org/debian), or run a kernel of your own: ' +
        'tsvmm run --initrd INITRD KERNEL',
    );
  }
  return mirrors;
}

/**
 * Fetches an index from the mirror that is given, or from the first of the host's that has it.
 * @throws {GuestImageError} when all fail, what the likeliest one's failure was
 */
export async function updateFromMirrors(
  apt: PrivateApt,
  mirror: string | undefined,
  onProgress: AptProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const mirrors = mirror === undefined ? await findDebianMirrors(signal) : [mirror];
  const failures: unknown[] = [];
  for (const candidate of mirrors) {
    try {
      return await apt.update(candidate, onProgress, signal);
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(error);
    }
  }
  throw failures[0];
}

/**
 * Picks the archives out of `URI|RELEASE|COMPONENT` lines. Third parties also call their folders `debian`, and
 * only the signature tells for sure, so Debian's own hosts come first.
 */
export function debianMirrors(targets: string): string[] {
  const mirrors = new Set<string>();
  for (const line of targets.split('\n')) {
    const [uri = '', release = '', component] = line.trim().split('|');
    const isArchive = /\/debian([/.]|$)/.test(uri) && !uri.startsWith('cdrom:');
    if (isArchive && component === 'main' && !/-security|\/updates|^\.?\/|\s/.test(release)) {
      mirrors.add(uri.replace(/\/+$/, ''));
    }
  }
  const isDebians = (uri: string) => /^[a-z+]+:\/\/([^/]*[.@])?debian\.org(:\d+)?\//.test(uri);
  return [...mirrors].toSorted((a, b) => Number(isDebians(b)) - Number(isDebians(a)));
}
