import { createReadStream, realpathSync } from 'node:fs';
import { dirname, isAbsolute, relative } from 'node:path';
import { type CreateDiskOptions, createDisk, ReplacedFile } from '@tsvmm/disk';
import {
  type Entry,
  type FilesystemOptions,
  type FilesystemSummary,
  makeFilesystem,
  planFilesystem,
  readTar,
  type ScanOptions,
  scanDirectory,
} from '@tsvmm/ext2';
import { number, oneOf, type Schema, size, string } from '@tsvmm/keyvalue';
import type { CommandContext } from '../commands/definition.ts';
import { UsageError } from '../errors.ts';
import { ExitStatus } from '../exit-status.ts';
import { print } from '../output.ts';
import type { CommandLine } from '../parse.ts';
import { readValue } from '../read-value.ts';
import { withSignals } from '../signals.ts';
import { TerminalBar } from '../terminal-bar.ts';
import {
  creationOptions,
  isGiven,
  operand,
  option,
  outputFormat,
  refuseCreationOptions,
} from './arguments.ts';
import { longBytes, shortBytes } from './bytes.ts';

type Entries = AsyncIterable<Entry> | Iterable<Entry>;

const STANDARD_INPUT = '-';
/** Bytes of an archive that are read at a time. */
const READ_LENGTH = 1024 * 1024;

/** `tsvmm disk from-tar` */
export async function fromTar(context: CommandContext): Promise<number> {
  const archive = operand(context.line, 0);
  if (archive === STANDARD_INPUT && !isGiven(context.line, 'size')) {
    throw new UsageError(
      'MISSING_ARGUMENT',
      'standard input can be read only once, and not to find out how much is in it: give a --size',
    );
  }
  const options = { highWaterMark: READ_LENGTH };
  const open = () => readTar(archive === STANDARD_INPUT ? process.stdin : createReadStream(archive, options));
  return await make(context, open);
}

/** `tsvmm disk from-dir` */
export async function fromDirectory(context: CommandContext): Promise<number> {
  const { line } = context;
  const directory = operand(line, 0);
  refuseInside(directory, operand(line, 1));
  const options: ScanOptions = {
    ...ownerOption(line),
    oneFileSystem: isGiven(line, 'one-file-system'),
    xattrs: !isGiven(line, 'no-xattrs'),
  };
  return await make(context, () => scanDirectory(directory, options));
}

/** An image that is made inside of the directory would be one of the files that it is made of. */
function refuseInside(directory: string, image: string): void {
  const [outer, inner] = [directory, dirname(image)].map((path) => realpathOf(path));
  if (outer === undefined || inner === undefined) return;
  const path = relative(outer, inner);
  if (isAbsolute(path) || path === '..' || path.startsWith('../')) return;
  throw new UsageError(
    'INVALID_VALUE',
    `${image} lies inside ${directory}, whose files it is to hold: put it elsewhere`,
  );
}

/** Nothing for what is not there: whoever opens it says so. */
function realpathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** Makes the image beside its place, which it takes when it is whole. */
async function make({ line }: CommandContext, open: () => Entries): Promise<number> {
  const path = operand(line, 1);
  const format = outputFormat(line, 'format');
  refuseCreationOptions(line, format);
  const options = filesystemOptions(line);
  const givenSize = valueGiven(line, 'size', size({ min: 1 }));
  const freeSpace = valueGiven(line, 'free', size());
  if (givenSize !== undefined && freeSpace !== undefined) {
    throw new UsageError('INVALID_VALUE', '--free is what --size says already: give one of them');
  }
  return await withSignals(async (signal) => {
    using bar = new TerminalBar();
    bar.show(0, 'looking at what there is');
    const plan =
      givenSize === undefined
        ? await planFilesystem(open(), { ...options, signal, ...(freeSpace !== undefined && { freeSpace }) })
        : { size: givenSize };
    const creation: CreateDiskOptions =
      format === 'raw' ? { format, size: plan.size } : { format, size: plan.size, ...creationOptions(line) };
    await using target = await ReplacedFile.prepare(path);
    let summary: FilesystemSummary;
    {
      await using disk = await createDisk(target.path, creation);
      summary = await makeFilesystem(disk, open(), {
        ...options,
        ...plan,
        signal,
        onProgress: ({ bytes, entries }) =>
          bar.show(bytes / plan.size, `${entries} files, ${shortBytes(bytes)}`),
      });
    }
    await target.commit();
    const used = summary.inodes - summary.freeInodes;
    print(
      `${path}: ${format}, ${options.type} of ${longBytes(summary.size)}, ${shortBytes(summary.freeBytes)} free; ${used} of ${summary.inodes} inodes in use\n`,
    );
    return ExitStatus.success;
  });
}

function filesystemOptions(line: CommandLine): FilesystemOptions & { readonly type: 'ext2' | 'ext4' } {
  const type = valueGiven(line, 'type', oneOf('ext2', 'ext4')) ?? 'ext4';
  const blockSize = valueGiven(line, 'block-size', size());
  const inodeRatio = valueGiven(line, 'inode-ratio', size());
  const label = valueGiven(line, 'label', string());
  const uuid = valueGiven(line, 'uuid', string());
  const time = valueGiven(line, 'time', number());
  return {
    type,
    ...(blockSize !== undefined && { blockSize }),
    ...(inodeRatio !== undefined && { inodeRatio }),
    ...(label !== undefined && { label }),
    // One number to give makes the image reproducible; nobody attacks the names of what they make themselves.
    ...(uuid !== undefined && { uuid, hashSeed: uuid }),
    ...(time !== undefined && { time }),
    ...(isGiven(line, 'no-journal') && { journal: false }),
  };
}

function ownerOption(line: CommandLine): Pick<ScanOptions, 'owner'> {
  const given = option(line, 'owner');
  if (given === undefined) return {};
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(given.value ?? '') ?? [];
  if (uid === undefined || gid === undefined) {
    throw new UsageError(
      'INVALID_VALUE',
      `${given.spelling}: ${JSON.stringify(given.value)} is not two numbers, UID:GID`,
    );
  }
  return { owner: { uid: Number(uid), gid: Number(gid) } };
}

function valueGiven<T>(line: CommandLine, name: string, schema: Schema<T>): T | undefined {
  const given = option(line, name);
  return given && readValue(given.spelling, given.value ?? '', schema);
}
