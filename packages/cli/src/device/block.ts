import { describeBlockDevice } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import { executorValue } from '../run/values.ts';
import { withSignals } from '../signals.ts';
import { frontEnd, serve } from './serve.ts';

const READ_ONLY = ':read-only';

/** `tsvmm device block` */
export async function deviceBlock(context: CommandContext): Promise<number> {
  const { line } = context;
  const file = option(line, 'file')?.value;
  if (file === undefined) throw new UsageError('INVALID_VALUE', 'say which image: --file PATH[:read-only]');
  const readOnly = file.endsWith(READ_ONLY);
  const path = readOnly ? file.slice(0, -READ_ONLY.length) : file;
  const kind = option(line, 'async-executor');
  const where = frontEnd(line);
  return await withSignals(async (signal) => {
    const device = await describeBlockDevice({
      path,
      readOnly,
      ...(kind && { executor: executorValue(kind) }),
    });
    return await serve(context, device, where, signal);
  });
}
