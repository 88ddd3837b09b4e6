import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { SystemError } from '../src/index.ts';

/** Runs a Python program, an observer that shares no code with this package; returns what it printed. */
export function python(program: string, ...args: string[]): string {
  return execFileSync('python3', ['-c', program, ...args], { encoding: 'utf8' }).trim();
}

/** What each open descriptor of this process is, as the kernel tells. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      return []; // the descriptor that listed the directory
    }
  });
}

/** The code of the SystemError that `action` throws. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}
