import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type MemoryUse, memoryUses } from './memory-map.ts';

/** A program that boots a guest with its console on standard input and output. */
export interface GuestProgram {
  readonly program: string;
  readonly parameters: readonly string[];
}

/** What is typed at the guest's shell; the last command prints {@link Session.end} at the start of a line. */
export interface Session {
  readonly prompt: string;
  readonly commands: string;
  readonly end: string;
}

/** Processor time of a thread. */
export interface ThreadTime {
  readonly name: string;
  readonly seconds: number;
}

/** A boot as seen from outside; times are seconds of the wall clock. */
export interface Boot {
  /** From the start of the program to the kernel's start of /init. */
  readonly toInit: number;
  /** From the start of the program to the shell's prompt. */
  readonly toShell: number;
  /** From the typed commands to the end of the last one. */
  readonly commands: number;
  /** Bytes of memory that the program has besides the guest's RAM, when the commands have ended. */
  readonly memory: number;
  /** What that memory is, most first. */
  readonly memoryUses: readonly MemoryUse[];
  /** Processor time of the program's threads until then, most first. */
  readonly threads: readonly ThreadTime[];
  /** The guest's console. */
  readonly console: string;
}

/** A guest that has printed nothing for so long hangs, milliseconds. */
const PATIENCE = 120_000;

/** Boots a guest, lets its shell do the session's work, and powers it off. */
export async function boot({ program, parameters }: GuestProgram, session: Session): Promise<Boot> {
  const start = performance.now();
  const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const hang = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  const marks: number[] = [];
  let console = '';
  let observed: Pick<Boot, 'memory' | 'memoryUses' | 'threads'> | undefined;
  const patterns = ['Run /init as init process', session.prompt, `\n${session.end}`];
  for await (const text of child.stdout.setEncoding('utf8')) {
    hang.refresh();
    console += text;
    while (marks.length < patterns.length && console.includes(patterns[marks.length] ?? '')) {
      marks.push((performance.now() - start) / 1000);
      if (marks.length === 2) child.stdin.write(session.commands);
      if (marks.length === 3) {
        const pid = child.pid ?? 0;
        observed = {
          memory: memoryBesideRam(pid),
          memoryUses: memoryUses(pid),
          threads: threadTimes(pid),
        };
        child.stdin.write('poweroff -f\n');
      }
    }
  }
  clearTimeout(hang);
  await closed;
  const [toInit, toShell, end] = marks;
  if (toInit === undefined || toShell === undefined || end === undefined || !observed)
    throw new Error(`${program} did not get to '${patterns[marks.length]}':\n${errors}${console}`);
  return { toInit, toShell, commands: end - toShell, console, ...observed };
}

/** RAM is shared memory, of a memfd; the rest is the program's own: code, heaps, generated code. */
function memoryBesideRam(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kibibytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kibibytes('RssAnon') + kibibytes('RssFile')) * 1024;
}

/** proc(5): fields 14 and 15 of /proc/PID/task/TID/stat, in ticks of 10 ms. */
function threadTimes(pid: number): readonly ThreadTime[] {
  const times = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    return { name, seconds: (Number(fields[11]) + Number(fields[12])) / 100 };
  });
  return times.sort((a, b) => b.seconds - a.seconds);
}

/** A stretch of the boot between two messages of the kernel. */
export interface Stretch {
  /** Seconds of the guest's clock. */
  readonly seconds: number;
  /** The message at its end. */
  readonly until: string;
}

/** The longest stretches between two messages of the kernel before it starts /init, longest first. */
export function longestStretches(console: string, count: number): readonly Stretch[] {
  const [beforeInit = ''] = console.split('Run /init as init process');
  const messages = [...beforeInit.matchAll(/^\[ *(\d+\.\d+)\] (.*)$/gm)].map(([, time, text = '']) => ({
    time: Number(time),
    text: text.trim(),
  }));
  const stretches = messages.map(({ time, text }, index) => ({
    seconds: time - (messages[index - 1]?.time ?? 0),
    until: text,
  }));
  return stretches.sort((a, b) => b.seconds - a.seconds).slice(0, count);
}
