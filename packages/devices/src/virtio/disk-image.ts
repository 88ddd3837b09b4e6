import type { Executor, ExecutorKind } from '@tsvmm/async';
import { reasonOf } from '@tsvmm/base';
import {
  type Disk,
  ExecutorStorage,
  type Format,
  type OpenStorage,
  openDisk,
  type Storage,
} from '@tsvmm/disk';
import { DeviceError } from '../errors.ts';

/** The image behind a disk; plain data. */
export interface DiskImage {
  /** A file or block device of any format of `@tsvmm/disk`, or of the one that is given. */
  readonly path: string;
  readonly format?: Format;
  readonly readOnly?: boolean;
  /** Refuse an image that another program uses: shared for readers, exclusive for a writer; true unless given. */
  readonly lock?: boolean;
  /** Bypasses the host's page cache; false unless given. */
  readonly direct?: boolean;
  /** What its I/O runs on; `auto`, which is io_uring where the kernel has it, unless given. */
  readonly executor?: ExecutorKind | 'auto';
}

/** All sizes and positions on a disk are multiples of this, and so is its logical block. */
export const SECTOR = 512;

/**
 * Checks a logical block size in bytes.
 * @throws DeviceError BAD_OPTION
 */
export function checkBlockSize(blockSize: number): void {
  if (blockSize >= SECTOR && blockSize <= 2 ** 31 && Number.isInteger(Math.log2(blockSize))) return;
  throw new DeviceError(
    'BAD_OPTION',
    `A block size is a power of two of at least ${SECTOR}, not ${blockSize}.`,
  );
}

/** Formats that can be written; the others can only be read. */
const WRITABLE_FORMATS: readonly string[] = ['raw', 'qcow2', 'composite'];

/** What images are opened with on the thread that serves them. */
export interface ImageEnvironment {
  /** The thread's executor of a kind, opened when it is first asked for. */
  executor(kind: ExecutorKind | 'auto'): Executor;
  /** Opens an image, and what it refers to, for a thread without a file system; unless given, they are opened here. */
  openStorage?(executor: Executor, ...image: Parameters<OpenStorage>): Storage | Promise<Storage>;
}

/** What an image is to be before anybody serves it. */
export interface InspectedImage {
  /** With `readOnly` as it will be. */
  readonly image: DiskImage & { readonly readOnly: boolean };
  /** Bytes. */
  readonly size: number;
}

/**
 * Learns the size of an image, and whether it can be written. It is not locked: whoever opens it to serve it does that.
 * @throws DeviceError BACKEND_FAILED
 */
export async function inspectImage(image: DiskImage): Promise<InspectedImage> {
  const { path, format } = image;
  await using disk = await orFailed(openDisk(path, { lock: false, ...(format && { format }) }));
  const readOnly = image.readOnly === true || !WRITABLE_FORMATS.includes(disk.format);
  return { image: { ...image, readOnly }, size: disk.size };
}

/**
 * Opens an image on the thread that will serve it.
 * @throws DeviceError BACKEND_FAILED
 */
export async function openImage(image: DiskImage, environment: ImageEnvironment): Promise<Disk> {
  const { path, format, readOnly = false, lock = true, direct = false } = image;
  return await orFailed(
    openDisk(path, {
      writable: !readOnly,
      lock,
      direct,
      ...(format && { format }),
      openStorage: storageOpener(image, environment),
    }),
  );
}

/**
 * Opens the file of an image as it is, whatever its format, on the thread that will serve it.
 * @throws DeviceError BACKEND_FAILED
 */
export async function openImageFile(image: DiskImage, environment: ImageEnvironment): Promise<Storage> {
  const { path, readOnly = false, lock = true, direct = false } = image;
  const open = storageOpener(image, environment);
  return await orFailed((async () => await open(path, { writable: !readOnly, lock, direct }))());
}

function storageOpener({ executor: kind = 'auto' }: DiskImage, environment: ImageEnvironment): OpenStorage {
  const executor = environment.executor(kind);
  const openStorage = environment.openStorage?.bind(environment) ?? ExecutorStorage.open;
  return (path, options) => openStorage(executor, path, options);
}

/** @throws DeviceError BACKEND_FAILED for what goes wrong with an image */
async function orFailed<T>(opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (cause) {
    throw new DeviceError('BACKEND_FAILED', reasonOf(cause), { cause });
  }
}
