import type { UnixSocket } from '@tsvmm/base';

/** Sends every message back. */
export function run(link: UnixSocket): void {
  const buffer = new Uint8Array(4096);
  const watcher = link.onReadable(() => {
    const message = link.tryReceiveMessage(buffer);
    if (message === undefined) return;
    if (message.length === 0) watcher[Symbol.dispose]();
    else link.sendMessage(buffer.subarray(0, message.length));
  });
}
