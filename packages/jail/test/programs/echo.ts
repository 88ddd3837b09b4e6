import type { UnixSocket } from '@tsvmm/base';
import { runJailed } from '../../src/process.ts';

/** Sends every message back. */
function run(link: UnixSocket): void {
  const buffer = new Uint8Array(4096);
  const watcher = link.onReadable(() => {
    const message = link.tryReceiveMessage(buffer);
    if (message === undefined) return;
    if (message.length === 0) watcher[Symbol.dispose]();
    else link.sendMessage(buffer.subarray(0, message.length));
  });
}

await runJailed((link) => () => run(link));
