import { rngModel } from '@tsvmm/devices';
import type { CommandContext } from '../commands/definition.ts';
import { withSignals } from '../signals.ts';
import { frontEnd, serve } from './serve.ts';

/** `tsvmm device rng` */
export async function deviceRng(context: CommandContext): Promise<number> {
  const device = { name: 'virtio-rng', model: rngModel(), backend: { kind: 'rng' } } as const;
  const where = frontEnd(context.line);
  return await withSignals((signal) => serve(context, device, where, signal));
}
