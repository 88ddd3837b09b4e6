import { type SpawnSyncOptionsWithStringEncoding, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The program as users start it. */
export const BIN = fileURLToPath(new URL('../../bin/tsvmm.js', import.meta.url));

/** How a run of the program ended. */
export interface CliResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end. */
export function tsvmm(
  args: readonly string[],
  options: Partial<SpawnSyncOptionsWithStringEncoding> = {},
): CliResult {
  const result = spawnSync(process.execPath, [BIN, ...args], {
    encoding: 'utf8',
    input: '',
    timeout: 50_000,
    ...options,
  });
  if (result.error !== undefined) throw result.error;
  return result;
}
