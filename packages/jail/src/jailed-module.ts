import type { UnixSocket } from '@tsvmm/base';
import type { JailedProcessOptions } from './jailed-process.ts';

/** What a module for a jailed process exports. */
export interface JailedModule {
  /**
   * Does what must be done outside of the jail: afterwards there is no file system. The packet that the starting side gave as
   * {@link JailedProcessOptions.opening} waits on the link.
   */
  prepare?(link: UnixSocket): Promise<void> | void;
  /** Called once, in the jail. The process ends when nothing is left to do. */
  run(link: UnixSocket): Promise<void> | void;
}
