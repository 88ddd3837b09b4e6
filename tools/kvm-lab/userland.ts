import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  defaultCacheDirectory,
  fetchTree,
  type GuestArchitecture,
} from '../../packages/guest-image/src/index.ts';
import { ROOT } from '../workspace.ts';
import { describeProgress, type PrepareOptions, type Userland } from './platform.ts';

/** The release whose Node runs this project's sources. */
const SUITE = 'forky';
// Python is what tests compare with.
const PACKAGES = ['nodejs', 'dash', 'coreutils', 'grep', 'sed', 'util-linux', 'iproute2', 'python3'];

/**
 * What an L1 has that cannot use this machine's programs: Debian's Node and a few tools, and this checkout.
 *
 * @param more packages that only this architecture's tests need
 */
export async function debianUserland(
  architecture: GuestArchitecture,
  options: PrepareOptions,
  more: readonly string[] = [],
): Promise<Omit<Userland, 'emulator'>> {
  const packages = [...PACKAGES, ...more];
  const recipe = createHash('sha256')
    .update([SUITE, ...packages].join())
    .digest('hex')
    .slice(0, 8);
  const root = await fetchTree({
    architecture,
    suite: SUITE,
    packages,
    directory: join(options.directory, `root-${architecture}-${recipe}`),
    signal: options.signal,
    onProgress: describeProgress(`the userland of ${architecture}`, options.onProgress),
  });
  return {
    root,
    shared: [ROOT.replace(/\/$/, ''), defaultCacheDirectory()],
    environment: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      // build/Release is this machine's: the add-ons that were built for publishing are taken.
      PREBUILDS_ONLY: '1',
      // Debian leaves out of its Node what strips types.
      NODE_OPTIONS: `--import=${new URL('guest/strip-types.mjs', import.meta.url)}`,
    },
    node: '/usr/bin/node',
  };
}
