import { spawnSync } from 'node:child_process';

/** Checks that dtc leaves out unless they are asked for. */
const MORE_CHECKS = ['node_name_chars_strict', 'property_name_chars_strict'];

/**
 * A flattened device tree as source, by dtc with all its checks.
 * @throws Error with what dtc has to say, be it only a warning
 */
export function dtcSource(blob: Uint8Array): string {
  const checks = MORE_CHECKS.flatMap((check) => ['-W', check]);
  const { stdout, stderr, status } = spawnSync('dtc', ['-I', 'dtb', '-O', 'dts', ...checks, '-'], {
    input: blob,
    encoding: 'utf8',
  });
  if (status !== 0 || stderr !== '') throw new Error(`dtc (status ${status}): ${stderr}`);
  return stdout;
}
