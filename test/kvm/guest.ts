import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';

const TSVMM = fileURLToPath(new URL('../../packages/cli/bin/tsvmm.js', import.meta.url));

/** How a guest ended, and what it and tsvmm said. */
export interface Ended {
  readonly status: number;
  /** What the console showed, with line feeds for line ends. */
  readonly console: string;
  readonly messages: string;
}

/** Boots Debian's kernel on KVM, with lines at its shell. */
export async function runGuest(lines: readonly string[], options: readonly string[] = []): Promise<Ended> {
  // The host has made it: here it is found in the cache that is shared.
  const { initrd, kernel } = await fetchGuest({ architecture: process.arch });
  // Each character on a serial port is an exit, which an emulated host takes 100 µs and more for.
  const boot = ['--params', 'quiet', '--initrd', initrd];
  return await runMachine([...boot, ...options, kernel], { prompt: /tsvmm:~#/, lines });
}

/** What is typed, a line at a time: when the prompt shows up again. */
export interface Dialogue {
  readonly prompt: RegExp;
  readonly lines: readonly string[];
}

/** Runs a machine on KVM, and types at its console. */
export async function runMachine(options: readonly string[], dialogue: Dialogue): Promise<Ended> {
  const tsvmm = spawn(
    process.execPath,
    [
      ...['--no-warnings', TSVMM, 'run', '--hypervisor', 'kvm', '--extended-status', '--no-syslog'],
      ...options,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  typeAtPrompts(tsvmm, dialogue);
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  tsvmm.once('close', (status) => resolve(status ?? -1));
  const [console, messages, status] = await Promise.all([text(tsvmm.stdout), text(tsvmm.stderr), closed]);
  return { status, console: console.replaceAll('\r', ''), messages };
}

/** What is typed ahead shows up in the middle of what commands print. */
function typeAtPrompts({ stdin, stdout }: ChildProcessWithoutNullStreams, { prompt, lines }: Dialogue): void {
  const rest = [...lines];
  let shown = '';
  stdout.on('data', (bytes: Buffer) => {
    shown += bytes.toString('latin1');
    const found = prompt.exec(shown);
    if (found === null) return;
    shown = shown.slice(found.index + found[0].length);
    const line = rest.shift();
    if (line === undefined) stdin.end();
    else stdin.write(`${line}\n`);
  });
}
