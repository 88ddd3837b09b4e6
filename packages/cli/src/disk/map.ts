import { diskChain, type MapEntry, mapDisk, openDisk } from '@tsvmm/disk';
import type { CommandContext } from '../commands/definition.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import { formatOption, isGiven, operand } from './arguments.ts';

/** `tsvmm disk map` */
export async function map({ line, messages }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const options = { ...formatOption(line), onWarning: (message: string) => messages.warn(message) };
  await using disk = await openDisk(path, options);
  if (isGiven(line, 'json')) {
    let separator = '[';
    for await (const entry of mapDisk(disk)) {
      print(`${separator}${JSON.stringify(toQemu(entry))}`);
      separator = ',\n';
    }
    print(separator === '[' ? '[]\n' : ']\n');
    return ExitStatus.success;
  }
  const files = (await diskChain(path, { ...options, lock: false })).map((image) => image.path);
  print(row('position', 'length', 'offset', 'file'));
  for await (const { kind, position, length, depth, offset, compressed } of mapDisk(disk)) {
    if (kind !== 'data') continue;
    const place = compressed ? 'compressed' : offset === undefined ? '-' : hex(offset);
    print(row(hex(position), hex(length), place, files[depth] ?? path));
  }
  return ExitStatus.success;
}

/** An entry of what `qemu-img map --output=json` prints. */
function toQemu({ position, length, depth, kind, offset, compressed = false }: MapEntry): object {
  return {
    start: position,
    length,
    depth,
    present: kind !== 'unallocated',
    zero: kind !== 'data',
    data: kind === 'data',
    compressed,
    ...(offset !== undefined && { offset }),
  };
}

function row(position: string, length: string, offset: string, file: string): string {
  return `${position.padEnd(16)} ${length.padEnd(16)} ${offset.padEnd(16)} ${file}\n`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
