import { openExecutor } from '@tsvmm/async';
import { describeBlockDevice, openBackend } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { option } from '../disk/arguments.ts';
import { UsageError } from '../errors.ts';
import { withSignals } from '../signals.ts';
import { serve } from './serve.ts';

const READ_ONLY = ':read-only';

/** `tsvmm device block` */
export async function deviceBlock(context: CommandContext): Promise<number> {
  const file = option(context.line, 'file')?.value;
  if (file === undefined) throw new UsageError('INVALID_VALUE', 'say which image: --file PATH[:read-only]');
  const readOnly = file.endsWith(READ_ONLY);
  const path = readOnly ? file.slice(0, -READ_ONLY.length) : file;
  return await withSignals(async (signal) => {
    const { name, model, backend: descriptor } = await describeBlockDevice({ path, readOnly });
    await using resources = new AsyncDisposableStack();
    const { executor } = openExecutor();
    resources.use(executor);
    const backend = resources.use(await openBackend(descriptor, { executor: () => executor }));
    return await serve(context, { name, model, backend }, signal);
  });
}
