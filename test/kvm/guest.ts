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
  const guest = await fetchGuest({ architecture: process.arch });
  const tsvmm = spawn(
    process.execPath,
    [
      ...['--no-warnings', TSVMM, 'run', '--hypervisor', 'kvm', '--extended-status', '--no-syslog'],
      // Each character on a serial port is an exit, which an emulated host takes 100 µs and more for.
      ...['--params', 'quiet', '--initrd', guest.initrd, ...options, guest.kernel],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  typeAtPrompts(tsvmm, lines);
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  tsvmm.once('close', (status) => resolve(status ?? -1));
  const [console, messages, status] = await Promise.all([text(tsvmm.stdout), text(tsvmm.stderr), closed]);
  return { status, console: console.replaceAll('\r', ''), messages };
}

/** What the shell prints when it waits for a line. */
const PROMPT = 'tsvmm:~#';

/** Types each line when the shell asks for it: what is typed ahead shows up in the middle of what commands print. */
function typeAtPrompts({ stdin, stdout }: ChildProcessWithoutNullStreams, lines: readonly string[]): void {
  const rest = [...lines];
  let shown = '';
  stdout.on('data', (bytes: Buffer) => {
    shown += bytes.toString('latin1');
    const prompt = shown.indexOf(PROMPT);
    if (prompt < 0) return;
    shown = shown.slice(prompt + PROMPT.length);
    const line = rest.shift();
    if (line === undefined) stdin.end();
    else stdin.write(`${line}\n`);
  });
}
