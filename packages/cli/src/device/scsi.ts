import { describeScsiDevice } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { withSignals } from '../signals.ts';
import { imagesOf } from './images.ts';
import { frontEnd, serve } from './serve.ts';

/** `tsvmm device scsi` */
export async function deviceScsi(context: CommandContext): Promise<number> {
  const disks = imagesOf(context.line).map((disk) => ({ disk }));
  const where = frontEnd(context.line);
  return await withSignals(async (signal) => {
    return await serve(context, await describeScsiDevice(disks), where, signal);
  });
}
