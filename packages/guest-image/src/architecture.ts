import { GuestImageError } from './errors.ts';

/** An architecture, by Debian's name. */
export type GuestArchitecture = 'riscv64' | 'amd64' | 'arm64';

/** Debian's names, and what the kernel, compilers and Node call the same machines. */
const NAMES: ReadonlyMap<string, GuestArchitecture> = new Map([
  ['riscv64', 'riscv64'],
  ['amd64', 'amd64'],
  ['x86_64', 'amd64'],
  ['x64', 'amd64'],
  ['arm64', 'arm64'],
  ['aarch64', 'arm64'],
]);

/** The architectures guests are made for. */
export const GUEST_ARCHITECTURES: readonly GuestArchitecture[] = ['riscv64', 'amd64', 'arm64'];

/**
 * The Debian name of an architecture: `x86_64` and `x64` are `amd64`, `aarch64` is `arm64`.
 * @throws {GuestImageError} UNSUPPORTED_ARCHITECTURE
 */
export function guestArchitecture(name: string): GuestArchitecture {
  const architecture = NAMES.get(name);
  if (architecture === undefined) {
    throw new GuestImageError(
      'UNSUPPORTED_ARCHITECTURE',
      `There is no guest for the architecture '${name}'; there are ${GUEST_ARCHITECTURES.join(', ')}.`,
    );
  }
  return architecture;
}
