import { RngBackend, rngModel } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { withSignals } from '../signals.ts';
import { serve } from './serve.ts';

/** `tsvmm device rng` */
export async function deviceRng(context: CommandContext): Promise<number> {
  await using backend = new RngBackend();
  const device = { name: 'virtio-rng', model: rngModel(), backend };
  return await withSignals((signal) => serve(context, device, signal));
}
