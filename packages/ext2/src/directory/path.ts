import type { Name } from '../entry.ts';
import { Ext2Error } from '../errors.ts';
import { MAX_NAME } from './records.ts';

/** Linux's PATH_MAX without the NUL: a longer path could not be opened. */
const MAX_PATH = 4095;

/** A name's bytes: what is text is UTF-8. */
export function nameBytes(name: Name): Uint8Array {
  return typeof name === 'string' ? Buffer.from(name) : name;
}

/** For messages. */
export function shownName(name: Name): string {
  return typeof name === 'string' ? name : Buffer.from(name).toString();
}

/**
 * The names from the root down to a path, each with one character for a byte: the keys of directories. `.` and repeated
 * slashes are left out, so that the root is the empty list.
 * @throws Ext2Error BAD_PATH
 */
export function splitPath(path: Name): readonly string[] {
  const bytes = nameBytes(path);
  const refuse = (why: string) => {
    const shown = shownName(path);
    return new Ext2Error('BAD_PATH', why, { path: shown.length > 200 ? `${shown.slice(0, 200)}…` : shown });
  };
  if (bytes.length > MAX_PATH) throw refuse(`the path has ${bytes.length} bytes; Linux allows ${MAX_PATH}.`);
  if (bytes[0] === 0x2f) throw refuse('the path is absolute: make it relative to the root.');
  if (bytes.includes(0)) throw refuse('the path has a NUL in it.');
  const names = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString('latin1')
    .split('/')
    .filter((name) => name !== '' && name !== '.');
  for (const name of names) {
    if (name === '..') throw refuse("the path has '..' in it, which would lead out of the tree.");
    if (name.length > MAX_NAME)
      throw refuse(`a name has ${name.length} bytes; the format allows ${MAX_NAME}.`);
  }
  return names;
}
