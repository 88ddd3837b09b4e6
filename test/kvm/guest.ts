import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { fetchGuest } from '../../packages/guest-image/src/index.ts';

const TSVMM = fileURLToPath(new URL('../../packages/cli/bin/tsvmm.js', import.meta.url));

/** How a guest ended, and what it and tsvmm said. */
export interface Ended {
  readonly status: number;
  /** What the console showed, with line feeds for line ends. */
  readonly console: string;
  /** What each of the typed lines printed. */
  readonly outputs: readonly string[];
  readonly messages: string;
}

/** What every machine here is made with. */
const OPTIONS = ['--hypervisor', 'kvm', '--extended-status', '--no-syslog'];
/** Devices in the process of the machine: each process more is a Node, which an emulated host takes seconds to start. */
export const UNCONFINED = ['--disable-sandbox'];

/** Boots Debian's kernel on KVM, with lines at its shell: short ones, which the terminal does not break. */
export async function runGuest(
  lines: readonly string[],
  options: readonly string[] = UNCONFINED,
): Promise<Ended> {
  // The host has made it: here it is found in the cache that is shared.
  const { initrd, kernel } = await fetchGuest({ architecture: process.arch });
  // Each character on a serial port is an exit, which an emulated host takes 100 µs and more for.
  const boot = ['--params', 'quiet', '--initrd', initrd];
  return await runMachine([...boot, ...options, kernel], { prompt: PROMPT, lines });
}

/** What the guest's shell prints when it waits for a line. */
const PROMPT = /tsvmm:~#/;

/** What is typed, a line at a time: when the prompt shows up again. */
export interface Dialogue {
  readonly prompt: RegExp;
  readonly lines: readonly string[];
}

/** Runs a machine on KVM, and types at its console. */
export async function runMachine(options: readonly string[], dialogue: Dialogue): Promise<Ended> {
  const parameters = ['--no-warnings', TSVMM, 'run', ...OPTIONS, ...options];
  const tsvmm = spawn(process.execPath, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
  typeAtPrompts(tsvmm, dialogue);
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  tsvmm.once('close', (status) => resolve(status ?? -1));
  const [stdout, messages, status] = await Promise.all([text(tsvmm.stdout), text(tsvmm.stderr), closed]);
  const console = stripVTControlCharacters(stdout).replaceAll('\r', '');
  return { status, console, outputs: outputsOf(console, dialogue.prompt), messages };
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

/** Between two prompts are a line as the terminal shows it, and what it printed. */
function outputsOf(console: string, prompt: RegExp): readonly string[] {
  return console
    .split(prompt)
    .slice(1)
    .map((shown) => shown.slice(shown.indexOf('\n') + 1).trimEnd());
}
