import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SystemError } from '@tsvmm/base';

/** The kernel's ring or a pool of threads, which moves bytes of this process's memory. */
export interface NativeEngine {
  readonly __engine: unique symbol;
}

/** What `native/` implements and documents beside the code; it checks every argument and throws {@link SystemError}. */
export interface Native {
  setErrorFactory(create: (errno: number, syscall: string, what: string) => Error): void;
  addressOf(bytes: Uint8Array): number;
  openRing(entries: number, completionEntries: number, layout: Uint8Array): NativeEngine;
  supportedOperations(fd: number, supported: Uint8Array): void;
  openPool(memory: Uint8Array, entries: number, completionEntries: number, threads: number): NativeEngine;
  descriptorOf(engine: NativeEngine): number;
  submit(engine: NativeEngine, count: number): number;
  closeEngine(engine: NativeEngine): void;
}

function load(): Native {
  const find = createRequire(import.meta.url)('node-gyp-build') as (packageRoot: string) => Native;
  try {
    return find(fileURLToPath(new URL('..', import.meta.url)));
  } catch (cause) {
    throw new Error(
      `The native part of @tsvmm/async does not load on ${process.platform}-${process.arch}. ` +
        "In a checkout run 'pnpm build'; after installing from a registry run 'npm rebuild @tsvmm/async', " +
        'which needs a C++20 compiler, make and Python 3.',
      { cause },
    );
  }
}

export const native = load();
native.setErrorFactory((errno, syscall, what) => new SystemError(errno, syscall, what));
