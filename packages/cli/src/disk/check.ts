import { type CheckResult, checkQcow2, detectFormat, FileStorage } from '@tsvmm/disk';
import { oneOf } from '@tsvmm/keyvalue';
import type { CommandContext } from '../commands/definition.ts';
import { CheckStatus, ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import { readValue } from '../read-value.ts';
import { TerminalBar } from '../terminal-bar.ts';
import { formatOption, isGiven, operand, option } from './arguments.ts';
import { shortBytes } from './bytes.ts';

/** `tsvmm disk check` */
export async function check({ line, messages }: CommandContext): Promise<number> {
  const path = operand(line, 0);
  const given = option(line, 'repair');
  const repair = given && readValue(given.spelling, given.value ?? '', oneOf('leaks', 'all'));
  await using storage = FileStorage.open(path, { writable: repair !== undefined });
  const format = formatOption(line).format ?? (await detectFormat(storage));
  if (format !== 'qcow2') {
    messages.error(`${path}: there is nothing to check in ${format} images, only in qcow2 ones`);
    return CheckStatus.unsupported;
  }
  const result = await checked(storage, repair);
  if (isGiven(line, 'json')) print(`${JSON.stringify(toQemu(path, result), undefined, 2)}\n`);
  else print(describe(result));
  if (result.corruptions > 0) return CheckStatus.corrupt;
  return result.leaks > 0 ? CheckStatus.leaks : ExitStatus.success;
}

async function checked(storage: FileStorage, repair: 'leaks' | 'all' | undefined): Promise<CheckResult> {
  using bar = new TerminalBar();
  return await checkQcow2(storage, {
    ...(repair !== undefined && { repair }),
    onProgress: (done, total) => bar.show(done / total, 'checking'),
  });
}

/** The object that `qemu-img check --output=json` prints, which leaves out what is zero. */
function toQemu(filename: string, result: CheckResult): object {
  const { corruptions, leaks, repaired } = result;
  const counts = {
    'image-end-offset': result.imageEndOffset,
    'total-clusters': result.totalClusters,
    'allocated-clusters': result.allocatedClusters,
    'fragmented-clusters': result.fragmentedClusters,
    'compressed-clusters': result.compressedClusters,
    corruptions,
    leaks,
    'corruptions-fixed': repaired ? repaired.corruptions - corruptions : 0,
    'leaks-fixed': repaired ? repaired.leaks - leaks : 0,
  };
  const found = Object.entries(counts).filter(([, count]) => count > 0);
  return { filename, format: 'qcow2', 'check-errors': 0, ...Object.fromEntries(found) };
}

function describe(result: CheckResult): string {
  const { corruptions, leaks, isDirty, repaired, messages, totalClusters, allocatedClusters } = result;
  const lines = messages.map((message) => `- ${message}`);
  const unshown = corruptions + leaks - messages.length;
  if (unshown > 0) lines.push(`- and ${unshown} more`);
  if (repaired) lines.push(`Repaired: ${found(repaired)}.`);
  const isSound = corruptions + leaks === 0;
  lines.push(isSound ? 'The image has no errors.' : `The image has ${found({ corruptions, leaks })}.`);
  if (isDirty) {
    lines.push(
      'It was not closed properly. Whoever writes to it next makes its counts right; to do it now: tsvmm disk check -r all',
    );
  } else if (corruptions > 0) {
    lines.push('Writing to it may destroy data. Copy the file, then: tsvmm disk check -r all');
  } else if (leaks > 0) {
    lines.push('They waste space and do no harm. To free them: tsvmm disk check -r leaks');
  }
  const percent = totalClusters === 0 ? 0 : Math.round((100 * allocatedClusters) / totalClusters);
  lines.push(
    `${allocatedClusters} of ${totalClusters} clusters (${percent} %) are allocated, ${result.compressedClusters} compressed, ${result.fragmentedClusters} out of order; the image ends at ${shortBytes(result.imageEndOffset)}.`,
  );
  return `${lines.join('\n')}\n`;
}

function found({ corruptions, leaks }: { readonly corruptions: number; readonly leaks: number }): string {
  const count = (number: number, one: string) => `${number} ${one}${number === 1 ? '' : 's'}`;
  return `${count(corruptions, 'corruption')} and ${count(leaks, 'leaked cluster')}`;
}
