import { ExecutorError, type ExecutorKind, openExecutor } from '../../src/index.ts';

/** The back ends that this host has: `epoll` always, `uring` where the kernel lets one be opened. */
export async function availableKinds(): Promise<readonly ExecutorKind[]> {
  try {
    await using _executor = openExecutor({ kind: 'uring', capacity: 1 }).executor;
    return ['uring', 'epoll'];
  } catch (error) {
    if (error instanceof ExecutorError && error.code === 'UNAVAILABLE') return ['epoll'];
    throw error;
  }
}
