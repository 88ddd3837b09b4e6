import { SystemError } from '@tsvmm/base';
import { ExecutorError } from './errors.ts';
import type { Executor, ExecutorKind } from './executor.ts';
import { Operation } from './ring/abi.ts';
import { PoolEngine } from './ring/pool-engine.ts';
import { RingExecutor } from './ring/ring-executor.ts';
import { UringEngine } from './ring/uring-engine.ts';

const DEFAULT_CAPACITY = 1024;
/** Two entries a request fit in the kernel's largest submission queue. */
const MAX_CAPACITY = 16_384;
const DEFAULT_THREADS = 4;
const MAX_THREADS = 256;

/** How an executor is opened. */
export interface ExecutorOptions {
  /** The back end; `auto`, which is `uring` where the kernel has it, unless given. */
  readonly kind?: ExecutorKind | 'auto';
  /** How many requests can be under way, at most 16384; 1024 unless given. Each takes about 1.3 KiB. */
  readonly capacity?: number;
  /** Threads of the `epoll` back end that do what has to wait; 4 unless given. */
  readonly threads?: number;
}

/** An executor and why it is this one, for the log. */
export interface OpenedExecutor {
  readonly executor: Executor;
  readonly reason: string;
}

/**
 * Opens an executor for the calling thread.
 * @throws ExecutorError UNAVAILABLE when the kind that was asked for does not exist here, BAD_REQUEST
 */
export function openExecutor(options: ExecutorOptions = {}): OpenedExecutor {
  const { kind = 'auto', capacity = DEFAULT_CAPACITY, threads = DEFAULT_THREADS } = options;
  checkCount('capacity', capacity, MAX_CAPACITY);
  checkCount('number of threads', threads, MAX_THREADS);
  const entries = 2 ** Math.ceil(Math.log2(2 * capacity));
  if (kind === 'epoll') {
    return { executor: openPool(entries, capacity, threads), reason: 'epoll and threads, as asked for' };
  }
  try {
    const executor = new RingExecutor(openUring(entries), capacity);
    return {
      executor,
      reason: kind === 'auto' ? 'io_uring, which this kernel has' : 'io_uring, as asked for',
    };
  } catch (cause) {
    const problem = uringProblem(cause);
    if (kind === 'uring') {
      throw new ExecutorError(
        'UNAVAILABLE',
        `There is no io_uring: ${problem}. Use epoll, which is everywhere.`,
        {
          cause,
        },
      );
    }
    return {
      executor: openPool(entries, capacity, threads),
      reason: `epoll and threads, because there is no io_uring: ${problem}`,
    };
  }
}

function openPool(entries: number, capacity: number, threads: number): Executor {
  return new RingExecutor(new PoolEngine(entries, threads), capacity);
}

/** What no kernel with rings that can be stopped (6.0) lacks, except where somebody took it away. */
const REQUIRED = [
  Operation.readv,
  Operation.writev,
  Operation.fsync,
  Operation.pollAdd,
  Operation.timeout,
  Operation.asyncCancel,
  Operation.fallocate,
  Operation.read,
  Operation.write,
];

function openUring(entries: number): UringEngine {
  const engine = new UringEngine(entries);
  const missing = REQUIRED.filter((operation) => !engine.supports(operation));
  if (missing.length === 0) return engine;
  engine.close();
  throw new ExecutorError('UNAVAILABLE', `its ring lacks the operations ${missing.join(', ')}`);
}

/** Why there is no ring, in a few words. @throws what is not about that */
function uringProblem(error: unknown): string {
  if (error instanceof ExecutorError) return error.message;
  if (!(error instanceof SystemError)) throw error;
  switch (error.code) {
    case 'ENOSYS':
      return 'this kernel was built without it';
    case 'EPERM':
    case 'EACCES':
      return 'sysctl kernel.io_uring_disabled or a sandbox forbids it';
    case 'EINVAL':
      return 'this kernel is older than Linux 6.0';
    case 'ENOMEM':
      return 'the limit on locked memory (ulimit -l) is too low for it';
    default:
      return error.message;
  }
}

function checkCount(what: string, value: number, largest: number): void {
  if (!Number.isInteger(value) || value < 1 || value > largest) {
    throw new ExecutorError(
      'BAD_REQUEST',
      `The ${what} of an executor is from 1 to ${largest}, not ${value}.`,
    );
  }
}
