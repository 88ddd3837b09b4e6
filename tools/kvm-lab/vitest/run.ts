import { parseCLI, startVitest } from 'vitest/node';
import { ClosingLine } from '../../closing-line.ts';
import type { Level1 } from '../level1.ts';
import { LabWorker, labPool } from './pool.ts';

/** The tests that show something in an L1: what touches the operating system, KVM, and machines that it runs. */
const KVM_TESTS = ['packages/base/test/', 'packages/hypervisor/test/kvm', 'test/kvm/'];

/**
 * Runs test files in an L1, one after the other, under the configuration of the workspace.
 * @param filters Vitest's command line: parts of files' paths and options; the tests that are about KVM without paths
 * @returns whether all have passed
 */
export async function runTests(level1: Level1, filters: readonly string[]): Promise<boolean> {
  const { filter, options } = parseCLI(['vitest', ...filters]);
  const worker = await LabWorker.launch(level1);
  const vitest = await startVitest('test', filter.length > 0 ? filter : KVM_TESTS, {
    ...options,
    watch: false,
    pool: labPool(worker),
    // One process for all: a start of Node takes an emulated CPU seconds.
    isolate: false,
    fileParallelism: false,
    // These need a KVM that this machine may not have.
    exclude: ['**/node_modules/**'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    name: level1.architecture,
    reporters: ['default', new ClosingLine()],
  });
  // Options of the configuration file that are no objects would win over this one.
  if (vitest.config.pool !== worker.name) throw new Error('vitest.config.ts must not name a pool.');
  const failed = vitest.state.getCountOfFailedTests();
  await vitest.close();
  return failed === 0 && vitest.state.getUnhandledErrors().length === 0;
}
