import { dlopen } from 'node:ffi';
import type { UnixSocket } from '@tsvmm/base';
import { runJailed } from '../../src/process.ts';

/** A device that was taken over: it makes whatever system call it is told, past all of Node. */
const { functions } = dlopen('libc.so.6', {
  syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
});

function run(link: UnixSocket): void {
  const buffer = new Uint8Array(4096);
  const watcher = link.onReadable(() => {
    const message = link.tryReceiveMessage(buffer);
    if (message === undefined) return;
    if (message.length === 0) return watcher[Symbol.dispose]();
    const numbers = JSON.parse(Buffer.from(buffer.subarray(0, message.length)).toString()) as number[];
    const [number = 0n, a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = numbers.map(BigInt);
    link.sendMessage(Buffer.from(String(functions.syscall(number, a, b, c, d, e, f))));
  });
}

await runJailed((link) => () => run(link));
