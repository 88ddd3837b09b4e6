import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { type CopyOptions, copyDisk } from './copy.ts';
import { type Disk, isWholeNumber } from './disk.ts';
import { DiskError } from './errors.ts';
import { type OpenDiskOptions, openDisk } from './open.ts';
import { encodeEmptyQcow2, type Qcow2Format, writeEmptyQcow2 } from './qcow2/create.ts';
import { RawDisk } from './raw.ts';
import { FileStorage } from './storage/file.ts';
import { ReplacedFile } from './storage/replaced-file.ts';

/** What a new image is like. */
export type CreateDiskOptions =
  | { readonly format: 'raw'; readonly size: number }
  | ({ readonly format: 'qcow2' } & Omit<Qcow2Format, 'size'> & {
        /** Bytes; that of the backing image unless given. */
        readonly size?: number;
      });

/**
 * Creates an image, in place of a file that may be there, and opens it for writing. A block device is formatted. What is
 * there stays as it is when the options contradict each other.
 * @throws DiskError BAD_OPTION, OPEN_FAILED, LOCKED
 */
export async function createDisk(path: string, options: CreateDiskOptions): Promise<Disk> {
  if (options.format === 'raw') {
    if (!isWholeNumber(options.size)) {
      throw new DiskError('BAD_OPTION', `${options.size} is no size in bytes that a file can have.`);
    }
    const storage = FileStorage.open(path, { create: true });
    if (!storage.isFixedSize) storage.resize(options.size);
    return new RawDisk(storage);
  }
  const size = options.size ?? (await backingSize(path, options));
  const empty = encodeEmptyQcow2({ ...options, size });
  const { dataFile } = options;
  if (dataFile) {
    const dataPath = isAbsolute(dataFile.file) ? dataFile.file : join(dirname(path), dataFile.file);
    await using data = FileStorage.open(dataPath, { create: true });
    if (!data.isFixedSize) data.resize(size);
  }
  {
    await using storage = FileStorage.open(path, { create: true });
    await writeEmptyQcow2(storage, empty);
  }
  return await openDisk(path, { writable: true, format: 'qcow2' });
}

async function backingSize(
  path: string,
  { backing }: { readonly backing?: Qcow2Format['backing'] },
): Promise<number> {
  if (!backing) throw new DiskError('BAD_OPTION', 'An image without a backing image needs a size.');
  const file = isAbsolute(backing.file) ? backing.file : join(dirname(path), backing.file);
  await using disk = await openDisk(file, { lock: false });
  return disk.size;
}

/** How an image is converted: what the new one is like, but for its size, and how the old one is opened. */
export interface ConvertOptions extends Omit<CopyOptions, 'isDestinationZero'> {
  readonly source?: Omit<OpenDiskOptions, 'writable'>;
  readonly destination:
    | { readonly format: 'raw' }
    | ({ readonly format: 'qcow2' } & Omit<Qcow2Format, 'size' | 'backing'>);
}

/**
 * Makes an image that reads as another does, in one file without backing images. The new image gets its name when it is
 * whole and on stable storage: whatever interrupts the conversion leaves what had that name before. (A block device, and
 * an external data file, are written where they are.)
 * @throws DiskError LOCKED when somebody uses either image; BAD_OPTION, also when both are the same file; and those of opening the original
 */
export async function convertDisk(from: string, to: string, options: ConvertOptions): Promise<void> {
  const { source: sourceOptions, destination: format, ...copy } = options;
  await using source = await openDisk(from, sourceOptions);
  if (copy.compress && format.format !== 'qcow2') {
    throw new DiskError('BAD_OPTION', `Only qcow2 images can be compressed, not ${format.format} ones.`);
  }
  if (await isSameFile(from, to)) {
    throw new DiskError(
      'BAD_OPTION',
      `${to} is the image that is to be converted: give the new one another name.`,
    );
  }
  await using target = await ReplacedFile.prepare(to);
  {
    await using destination = await createDisk(target.path, { ...format, size: source.size });
    // A raw block device has what it had before; everything else that is new reads as zero.
    const isDestinationZero = format.format !== 'raw' || !target.isDevice;
    await copyDisk(source, destination, { ...copy, isDestinationZero });
  }
  await target.commit();
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}
