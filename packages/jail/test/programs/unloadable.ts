import { runJailed } from '../../src/process.ts';

await runJailed(() => {
  throw new Error('this module does not load');
});
