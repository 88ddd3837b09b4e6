import { readdirSync, readFileSync } from 'node:fs';

/** The processes that a process has started. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

/**
 * Seconds of processor time that a virtual machine has cost its host, vCPUs apart: all other threads of the process, and all
 * of the processes that it has started.
 */
export function hostTime(pid: number): number {
  const own = readdirSync(`/proc/${pid}/task`)
    .filter((thread) => !isVcpu(pid, thread))
    .reduce((sum, thread) => sum + runTime(pid, thread), 0);
  return childrenOf(pid).reduce((sum, child) => sum + hostTime(child), own);
}

/** The first number of schedstat: nanoseconds on a processor. */
function runTime(pid: number, thread: string): number {
  return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
}

/** What has run a guest: field 43 of stat (proc_pid_stat(5)). */
function isVcpu(pid: number, thread: string): boolean {
  const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[40] !== '0';
}
