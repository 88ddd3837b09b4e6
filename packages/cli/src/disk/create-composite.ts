import { type CompositePartition, createCompositeDisk, openDisk } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import { operand } from './arguments.ts';
import { longBytes } from './bytes.ts';

/** `tsvmm create_composite` */
export async function createComposite({ line }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const partitions = line.operands.slice(1).map(partitionOf);
  await createCompositeDisk(path, partitions);
  await using disk = await openDisk(path, { lock: false });
  print(`${path}: composite, ${longBytes(disk.size)}\n`);
  return ExitStatus.success;
}

/** `LABEL:PATH`, with `:writable` and `:GUID` behind it in any order. */
function partitionOf(text: string): CompositePartition {
  const [label = '', path = '', ...rest] = text.split(':');
  const fail = (what: string) =>
    new UsageError(
      'INVALID_VALUE',
      `the partition ${JSON.stringify(text)} ${what}; write LABEL:PATH[:writable][:GUID]`,
    );
  if (label === '' || path === '') throw fail('has no label or no path');
  let writable = false;
  let guid: string | undefined;
  for (const word of rest) {
    if (word === 'writable') writable = true;
    else if (guid === undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(word)) guid = word;
    else throw fail(`has ${JSON.stringify(word)}, which is neither writable nor a GUID`);
  }
  return { label, path, writable, ...(guid !== undefined && { guid }) };
}
