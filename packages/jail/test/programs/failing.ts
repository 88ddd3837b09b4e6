import { runJailed } from '../../src/process.ts';

/** Fails once it runs. */
await runJailed(() => () => {
  throw new Error('no such luck');
});
