import type { Board, BoardOptions } from '@tsvmm/arch';
import { Aarch64Board } from '@tsvmm/arch-aarch64';
import { Riscv64Board } from '@tsvmm/arch-riscv64';
import { X8664Board } from '@tsvmm/arch-x86_64';
import type { Architecture } from '../configuration.ts';
import { ConfigurationError } from '../configuration-error.ts';

const BOARDS: Partial<Record<Architecture, new (options: BoardOptions) => Board>> = {
  aarch64: Aarch64Board,
  riscv64: Riscv64Board,
  x86_64: X8664Board,
};

/**
 * What makes machines of an architecture.
 *
 * @throws ConfigurationError NOT_BUILT for an architecture that has no board yet
 */
export function boardFor(architecture: Architecture): new (options: BoardOptions) => Board {
  const BoardOfArchitecture = BOARDS[architecture];
  if (BoardOfArchitecture === undefined) {
    throw new ConfigurationError(
      'NOT_BUILT',
      'architecture',
      `machines for ${architecture} are not built yet: use a kernel for ${Object.keys(BOARDS).join(' or ')}`,
    );
  }
  return BoardOfArchitecture;
}

/** By the names that Node has for them. */
const HOSTS: Readonly<Partial<Record<NodeJS.Architecture, Architecture>>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
};

/**
 * The architecture of this host.
 *
 * @throws ConfigurationError NOT_BUILT for one that there are no machines of
 */
export function hostArchitecture(): Architecture {
  const architecture = HOSTS[process.arch];
  if (architecture !== undefined) return architecture;
  throw new ConfigurationError(
    'NOT_BUILT',
    'architecture',
    `there are no machines like this host (${process.arch}): say for which architecture the firmware is`,
  );
}
