import { describeBlockDevice } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { withSignals } from '../signals.ts';
import { imagesOf } from './images.ts';
import { frontEnd, serve } from './serve.ts';

/** `tsvmm device block` */
export async function deviceBlock(context: CommandContext): Promise<number> {
  const [image] = imagesOf(context.line);
  const where = frontEnd(context.line);
  return await withSignals(async (signal) => {
    return await serve(context, await describeBlockDevice(image), where, signal);
  });
}
