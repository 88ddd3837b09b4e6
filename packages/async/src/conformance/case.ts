import type { Executor } from '../executor.ts';

/** How the suite gets the executors that it tries. */
export interface ExecutorUnderTest {
  /** Opens one with so many slots; the case disposes of it. */
  open(capacity?: number): Executor;
  /** An empty folder on a file system that takes holes. */
  readonly folder: string;
}

/** One promise of the contract, and the program that shows whether an executor keeps it. */
export interface ConformanceCase {
  readonly name: string;
  run(subject: ExecutorUnderTest): Promise<void>;
}
