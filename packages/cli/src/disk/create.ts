import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { createDisk, openDisk, type Qcow2Format } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import type { CommandLine } from '../parse.ts';
import {
  creationOptions,
  formatOption,
  operand,
  option,
  outputFormat,
  refuseCreationOptions,
  sizeOperand,
} from './arguments.ts';
import { longBytes } from './bytes.ts';

/** `tsvmm disk create` */
export async function create({ line }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const format = outputFormat(line, 'format');
  const size = line.operands.length > 1 ? sizeOperand(operand(line, 1)) : undefined;
  refuseCreationOptions(line, format);
  const backingFile = option(line, 'backing')?.value;
  if (backingFile !== undefined && format !== 'qcow2') {
    throw new UsageError('INVALID_VALUE', `a ${format} image cannot have a backing image; write -f qcow2`);
  }
  if (format === 'raw') {
    if (size === undefined) throw new UsageError('MISSING_ARGUMENT', 'a raw image needs a SIZE');
    return await make(path, { format, size });
  }
  const backing = backingFile === undefined ? undefined : await backingOf(line, path, backingFile);
  if (size === undefined && backing === undefined) {
    throw new UsageError('MISSING_ARGUMENT', 'an image without a backing image needs a SIZE');
  }
  return await make(path, {
    format,
    ...creationOptions(line),
    ...(backing !== undefined && { backing }),
    ...(size !== undefined && { size }),
  });
}

/** `tsvmm create_qcow2`, crosvm's: --backing-file names a file as the shell sees it. */
export async function createQcow2({ line }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const given = option(line, 'backing-file')?.value;
  const hasSize = line.operands.length > 1;
  if (hasSize === (given !== undefined)) {
    throw new UsageError('MISSING_ARGUMENT', 'create_qcow2 takes either a SIZE or a --backing-file');
  }
  if (given === undefined) {
    return await make(path, { format: 'qcow2', size: sizeOperand(operand(line, 1)) });
  }
  const file = isAbsolute(given) ? given : relative(dirname(resolve(path)), resolve(given));
  return await make(path, { format: 'qcow2', backing: await backingOf(line, path, file) });
}

/** What is recorded about a backing image; its format is found out here, once, and not by whoever opens the chain. */
async function backingOf(
  line: CommandLine,
  path: string,
  file: string,
): Promise<NonNullable<Qcow2Format['backing']>> {
  const { format } = formatOption(line, 'backing-format');
  if (format !== undefined) return { file, format };
  await using disk = await openDisk(isAbsolute(file) ? file : resolve(dirname(path), file), { lock: false });
  return { file, format: disk.format };
}

async function make(path: string, options: Parameters<typeof createDisk>[1]): Promise<number> {
  await using disk = await createDisk(path, options);
  print(`${path}: ${disk.format}, ${longBytes(disk.size)}\n`);
  return ExitStatus.success;
}
