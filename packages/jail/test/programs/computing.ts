import type { UnixSocket } from '@tsvmm/base';
import { runJailed } from '../../src/process.ts';

/** Has V8 compile, deoptimize and collect in the jail, and start a thread; answers with the sum. */
async function run(link: UnixSocket): Promise<void> {
  let sum = 0;
  for (let n = 0; n < 200; n++) {
    const body = `let x = ${n}; for (let i = 0; i < a; i++) { x = (x * 31 + i) | 0; x ^= x >>> 3; } return x;`;
    sum = (sum + (new Function('a', body) as (a: number) => number)(20_000)) | 0;
    new Array(50_000).fill(n);
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
  link.sendMessage(Buffer.from(String(sum)));
}

await runJailed((link) => () => run(link));
