import { checkPath } from './checks.ts';

/**
 * Persistent memory (virtio-pmem): a file in the guest's memory. The first one is /dev/pmem0 in the guest, the next
 * /dev/pmem1. What the guest sees is the file's size rounded up to 2 MiB, and nothing keeps what comes after the file.
 */
export interface PmemConfiguration {
  /** A file whose size is a multiple of 4096 bytes. */
  readonly path: string;
  /** Keep the guest from writing; default false. */
  readonly readOnly?: boolean;
  /** Mount it as the root file system: adds `root=/dev/pmemN ro|rw` to the kernel's parameters. At most one. */
  readonly root?: boolean;
}

/** Persistent memory with nothing left open. */
export interface ResolvedPmem extends Required<PmemConfiguration> {
  /** The guest's name of it: pmem0, pmem1. */
  readonly guestName: string;
}

/**
 * Checks what a configuration says of persistent memory.
 *
 * @throws ConfigurationError
 */
export function resolvePmem(pmem: PmemConfiguration, index: number): ResolvedPmem {
  return {
    path: checkPath('pmems', pmem.path, 'persistent memory needs the path of a file', index),
    readOnly: pmem.readOnly ?? false,
    root: pmem.root ?? false,
    guestName: `pmem${index}`,
  };
}
