import type { UnixSocket } from '@tsvmm/base';

/** What a module for a jailed process exports. */
export interface JailedModule {
  /** Loads what the module's imports do not: afterwards there is no file system. */
  prepare?(): Promise<void> | void;
  /** Called once, in the jail. The process ends when nothing is left to do. */
  run(link: UnixSocket): Promise<void> | void;
}
