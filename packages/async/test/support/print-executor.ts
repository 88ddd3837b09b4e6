// Prints which executor this process gets, and what it is told when it insists on io_uring.
import { ExecutorError, openExecutor } from '../../src/index.ts';

const { executor, reason } = openExecutor();
await using _executor = executor;
console.log(executor.kind, '|', reason);
try {
  openExecutor({ kind: 'uring' });
} catch (error) {
  if (error instanceof ExecutorError) console.log(error.code, '|', error.message);
}
