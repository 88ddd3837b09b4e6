import type { Board, BoardOptions } from '@tsvmm/arch';
import type { Architecture } from '../configuration/configuration.ts';
import { ConfigurationError } from '../configuration/error.ts';

type BoardClass = new (options: BoardOptions) => Board;

/** Loaded for the machines that need them. */
const BOARDS: Readonly<Partial<Record<Architecture, () => Promise<BoardClass>>>> = {
  aarch64: async () => (await import('@tsvmm/arch-aarch64')).Aarch64Board,
  riscv64: async () => (await import('@tsvmm/arch-riscv64')).Riscv64Board,
  x86_64: async () => (await import('@tsvmm/arch-x86_64')).X8664Board,
};

/**
 * What makes machines of an architecture.
 *
 * @throws ConfigurationError NOT_BUILT for an architecture that has no board yet
 */
export async function boardFor(architecture: Architecture): Promise<BoardClass> {
  const load = BOARDS[architecture];
  if (load === undefined) {
    throw new ConfigurationError(
      'NOT_BUILT',
      'architecture',
      `machines for ${architecture} are not built yet: use a kernel for ${Object.keys(BOARDS).join(' or ')}`,
    );
  }
  return await load();
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
