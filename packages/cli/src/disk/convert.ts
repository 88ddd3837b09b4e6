import { convertDisk } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { ExitStatus } from '../exit-status.ts';
import { withSignals } from '../signals.ts';
import { TerminalBar } from '../terminal-bar.ts';
import {
  creationOptions,
  formatOption,
  isGiven,
  operand,
  outputFormat,
  refuseCreationOptions,
} from './arguments.ts';
import { shortBytes } from './bytes.ts';

/** `tsvmm disk convert` */
export async function convert({ line, messages }: CommandContext): Promise<number> {
  const [from, to] = [operand(line, 0), operand(line, 1)];
  const format = outputFormat(line, 'output-format');
  refuseCreationOptions(line, format);
  const destination = format === 'raw' ? { format } : { format, ...creationOptions(line) };
  return await withSignals(async (signal) => {
    using bar = new TerminalBar();
    await convertDisk(from, to, {
      source: { ...formatOption(line), onWarning: (message) => messages.warn(message) },
      destination,
      compress: isGiven(line, 'compress'),
      signal,
      onProgress: (done, total) =>
        bar.show(total === 0 ? 1 : done / total, `${shortBytes(done)} of ${shortBytes(total)}`),
    });
    return ExitStatus.success;
  });
}
