import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JailError } from './errors.ts';
import { type Policy, parsePolicy } from './seccomp/policy.ts';

/** The policies that come with this package. */
const DIRECTORY = fileURLToPath(new URL('../policies/', import.meta.url));

/**
 * Reads the policy `NAME.policy`.
 *
 * @param directory where it is looked for, before those that come with this package (`--seccomp-policy-dir`)
 * @throws JailError BAD_POLICY naming the file and line, or where it was looked for
 */
export function loadPolicy(name: string, directory?: string): Policy {
  const source = (file: string) => readFrom(file, directory);
  const file = `${name}.policy`;
  return parsePolicy(source(file), file, source);
}

function readFrom(file: string, directory: string | undefined): string {
  // A policy includes its neighbours, not files from elsewhere.
  if (!/^[\w.-]+$/.test(file)) {
    throw new JailError('BAD_POLICY', `'${file}' is not the name of a policy's file`);
  }
  const candidates = [...(directory === undefined ? [] : [directory]), DIRECTORY];
  for (const candidate of candidates) {
    try {
      return readFileSync(join(candidate, file), 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw new JailError('BAD_POLICY', `the policy ${join(candidate, file)} cannot be read`, { cause });
      }
    }
  }
  throw new JailError('BAD_POLICY', `there is no policy ${file} in ${candidates.join(' or ')}`);
}
