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
 * @param directories where it and what it includes are looked for, the first first, before those that come with this package
 * @throws JailError BAD_POLICY naming the file and line, or where it was looked for
 */
export function loadPolicy(name: string, directories: readonly string[] = []): Policy {
  const source = (file: string) => readFrom(file, [...directories, DIRECTORY]);
  const file = `${name}.policy`;
  return parsePolicy(source(file), file, source);
}

function readFrom(file: string, directories: readonly string[]): string {
  // A policy includes its neighbours, not files from elsewhere.
  if (!/^[\w.-]+$/.test(file)) {
    throw new JailError('BAD_POLICY', `'${file}' is not the name of a policy's file`);
  }
  for (const directory of directories) {
    try {
      return readFileSync(join(directory, file), 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw new JailError('BAD_POLICY', `the policy ${join(directory, file)} cannot be read`, { cause });
      }
    }
  }
  throw new JailError('BAD_POLICY', `there is no policy ${file} in ${directories.join(' or ')}`);
}
