import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SystemError } from '@tsvmm/base';

/** The add-on: `native/*.cc` documents each function beside its code, checks every argument and throws {@link SystemError}. */
export interface Native {
  setErrorFactory(create: (errno: number, syscall: string, what: string) => Error): void;
  spawn(
    program: string,
    arguments_: readonly string[],
    environment: readonly string[],
    descriptors: Int32Array,
    limits: Float64Array,
    namespaces: boolean,
    insideId: number,
    filter: Uint8Array,
    result: Int32Array,
  ): void;
  enclose(pidfd: number, root: string): void;
  signalProcess(pidfd: number, signal: number): boolean;
  waitProcess(pidfd: number, result: Int32Array): void;
  installFilter(program: Uint8Array, listen: boolean): number;
  receiveCall(listener: number, result: Float64Array): boolean;
  permitCall(listener: number, idLow: number, idHigh: number): boolean;
}

function load(): Native {
  const find = createRequire(import.meta.url)('node-gyp-build') as (packageRoot: string) => Native;
  try {
    return find(fileURLToPath(new URL('..', import.meta.url)));
  } catch (cause) {
    throw new Error(
      `The native part of @tsvmm/jail does not load on ${process.platform}-${process.arch}. ` +
        "In a checkout run 'pnpm build'; after installing from a registry run 'npm rebuild @tsvmm/jail', " +
        'which needs a C++20 compiler, make and Python 3.',
      { cause },
    );
  }
}

export const native = load();
native.setErrorFactory((errno, syscall, what) => new SystemError(errno, syscall, what));

/** What the child of `spawn` was doing when it failed, by the numbers of `Step` in `native/spawn.cc`. */
export const SPAWN_STEPS = [
  'make namespaces',
  'map the user and group id',
  'make the mounts private',
  'pass the descriptors',
  'set the resource limits',
  'drop the privileges',
  'filter its system calls',
  'execute the program',
] as const;
