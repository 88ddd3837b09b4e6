import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { GuestImageError } from './errors.ts';

/** How a program ended and what it wrote. */
export interface Finished {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** What a program is started with besides its arguments. */
export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Written to its standard input, which is closed after it. */
  readonly input?: Uint8Array;
  /** Gets the lines the program writes to its file descriptor 3. */
  readonly onStatusLine?: (line: string) => void;
  /** A descriptor of ours that the program gets as its descriptor 3. */
  readonly inheritedFd?: number;
}

/** Signals that end a program by our wish have no exit status; shells count them from here. */
const SIGNAL_STATUS = 128;

/**
 * Runs a program of the host to its end, in the C locale, so that its words can be understood.
 * @throws {GuestImageError} NO_APT when it is not installed
 * @throws the signal's reason when it is aborted; the program and its children are then ended
 */
export async function run(
  program: string,
  parameters: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  options.signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Finished>();
  const spawnOptions: SpawnOptions = {
    stdio: [
      options.input ? 'pipe' : 'ignore',
      'pipe',
      'pipe',
      options.inheritedFd ?? (options.onStatusLine ? 'pipe' : 'ignore'),
    ],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  };
  const child = spawn(program, parameters, spawnOptions);
  const abort = () => interrupt(child);
  options.signal?.addEventListener('abort', abort, { once: true });

  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  if (options.onStatusLine) forEachLine(child.stdio[3] as Readable, options.onStatusLine);
  // A program that ends before it has read everything is judged by its status, not by the broken pipe.
  child.stdin?.on('error', () => {}).end(options.input);
  child.once('error', (error: NodeJS.ErrnoException) => {
    reject(error.code === 'ENOENT' ? notInstalled(program, error) : error);
  });
  child.once('close', (code) => {
    resolve({
      status: code ?? SIGNAL_STATUS,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr).toString(),
    });
  });

  try {
    const finished = await promise;
    options.signal?.throwIfAborted();
    return finished;
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
}

/**
 * Ends a program as Ctrl-C at a terminal would. apt's methods, its children, only then date what they have fetched
 * so far as the server did, without which no later attempt can go on from there.
 */
function interrupt(child: ChildProcess): void {
  for (const pid of childrenOf(child.pid)) {
    try {
      process.kill(pid, 'SIGINT');
    } catch {
      // It has ended by itself.
    }
  }
  child.kill('SIGINT');
}

function childrenOf(pid: number | undefined): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return children === '' ? [] : children.split(' ').map(Number);
  } catch {
    return [];
  }
}

function forEachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
}

function notInstalled(program: string, cause: Error): GuestImageError {
  return new GuestImageError(
    'NO_APT',
    `The guest is made of Debian packages, and this host has no '${program}' to fetch them with. ` +
      'Run a kernel of your own instead: tsvmm run --initrd INITRD KERNEL',
    { cause },
  );
}
