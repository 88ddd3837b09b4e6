import type { DiskImage } from '@tsvmm/devices';
import { option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import type { CommandLine } from '../parse.ts';
import { executorValue } from '../run/values.ts';

const READ_ONLY = ':read-only';

/**
 * What --file and --async-executor say.
 *
 * @throws UsageError when there is no image
 */
export function imagesOf(line: CommandLine): readonly [DiskImage, ...DiskImage[]] {
  const kind = option(line, 'async-executor');
  const executor = kind && { executor: executorValue(kind) };
  const [first, ...rest] = line.options
    .filter(({ definition }) => definition.name === 'file')
    .map(({ value = '' }): DiskImage => {
      const readOnly = value.endsWith(READ_ONLY);
      return { path: readOnly ? value.slice(0, -READ_ONLY.length) : value, readOnly, ...executor };
    });
  if (first === undefined) {
    throw new UsageError('INVALID_VALUE', 'say which image: --file PATH[:read-only]');
  }
  return [first, ...rest];
}
