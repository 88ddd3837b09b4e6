import { openDisk } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import { formatOption, isGiven, operand, sizeOperand } from './arguments.ts';
import { longBytes } from './bytes.ts';

/** `tsvmm disk resize` */
export async function resize({ line, messages }: CommandContext): Promise<number> {
  const [path, text] = [operand(line, 0), operand(line, 1)];
  if (line.operands.length > 2) {
    throw new UsageError(
      'NOT_BUILT',
      'the disk of a machine that runs cannot be resized yet: there is no control socket. Power the guest off, then: tsvmm disk resize FILE SIZE',
    );
  }
  const { sign = '', digits = '' } = /^(?<sign>[+-]?)(?<digits>.*)$/s.exec(text)?.groups ?? {};
  const amount = sizeOperand(digits);
  await using disk = await openDisk(path, {
    writable: true,
    ...formatOption(line),
    onWarning: (message) => messages.warn(message),
  });
  const before = disk.size;
  const after = sign === '+' ? before + amount : sign === '-' ? before - amount : amount;
  if (after < 0) {
    throw new UsageError('INVALID_VALUE', `${path} has ${longBytes(before)}, which is less than ${digits}`);
  }
  if (after < before && !isGiven(line, 'shrink')) {
    messages.error(
      `${path} has ${longBytes(before)}: what lies past ${longBytes(after)} would be lost. Shrink the file systems in it first, then add --shrink`,
    );
    return ExitStatus.failure;
  }
  await disk.resize(after);
  await disk.flush();
  print(`${path}: ${longBytes(after)}\n`);
  return ExitStatus.success;
}
