import { execFileSync } from 'node:child_process';

/** Runs a program of the host and gives what it printed. */
export function program(name: string, parameters: readonly string[], input?: Uint8Array): Buffer {
  return execFileSync(name, parameters, {
    maxBuffer: 2 ** 28,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input ? { input } : {}),
  });
}
