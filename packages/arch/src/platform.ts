import type { Architecture, Platform } from '@tsvmm/hypervisor';
import { MachineError } from './errors.ts';

type PlatformOf<A extends Architecture> = Extract<Platform, { readonly architecture: A }>;

/**
 * The platform, seen to be of the board's architecture.
 *
 * @throws MachineError UNSUPPORTED when the machine is another one than the board's
 */
export function platformOf<A extends Architecture>(platform: Platform, architecture: A): PlatformOf<A> {
  const isOf = (candidate: Platform): candidate is PlatformOf<A> => candidate.architecture === architecture;
  if (isOf(platform)) return platform;
  throw new MachineError(
    'UNSUPPORTED',
    `the hypervisor made a machine for ${platform.architecture}: give a board for ${architecture} one of its own`,
  );
}
