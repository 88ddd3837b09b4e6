import { dirname, isAbsolute, join } from 'node:path';
import { CompositeDisk } from './composite/composite-disk.ts';
import { detectFormat, FORMATS, type Format } from './detect.ts';
import type { Disk } from './disk.ts';
import { DiskError } from './errors.ts';
import { AndroidSparseDisk } from './formats/android-sparse.ts';
import { isFixedVhd, VhdDisk } from './formats/vhd.ts';
import { VhdxDisk } from './formats/vhdx.ts';
import { VmdkDisk } from './formats/vmdk/vmdk-disk.ts';
import { ZstdDisk } from './formats/zstd-seekable.ts';
import { ProbedRawDisk } from './probed-raw.ts';
import type { Qcow2CacheOptions } from './qcow2/image.ts';
import { openQcow2 } from './qcow2/open.ts';
import { RawDisk } from './raw.ts';
import { FileStorage } from './storage/file.ts';
import type { Storage } from './storage/storage.ts';

/** Where the bytes of an image come from. `openStorage` of {@link OpenDiskOptions} makes others than files possible. */
export type OpenStorage = (
  path: string,
  options: { readonly writable: boolean; readonly lock: boolean; readonly direct: boolean },
) => Storage | Promise<Storage>;

/** How a disk is opened. */
export interface OpenDiskOptions extends Qcow2CacheOptions {
  /** Opens for writing too; false unless given. */
  readonly writable?: boolean;
  /**
   * What the image is; found out by its first bytes unless given. Give it for raw images: where it is not given, writes
   * that would make another format of the image are refused (`FORMAT_UNKNOWN`), since a guest could choose what its disk
   * is opened as next time. Fixed VHD images, which end like no other but start like raw ones, are only known if it is
   * given.
   */
  readonly format?: Format;
  /** Refuses images that another program uses: shared for readers, exclusive for a writer; true unless given. */
  readonly lock?: boolean;
  /** Bypasses the host's page cache; false unless given. */
  readonly direct?: boolean;
  /**
   * Opens backing images too; true unless given. Without them, what the image itself does not have reads as zero, and it
   * cannot be opened for writing.
   */
  readonly backing?: boolean;
  /** Told what is odd about an image and does not keep it from being used. */
  readonly onWarning?: (message: string) => void;
  /** Opens the image, and those that it refers to; files and block devices unless given. */
  readonly openStorage?: OpenStorage;
}

/** Images that refer to images: how deep, at most. */
const MAX_NESTING = 10;

/** What the parts of an image, which are images or files themselves, are opened with. */
export interface OpenContext {
  readonly options: OpenDiskOptions;
  readonly depth: number;
  /** The path of a file that this image names: relative to the folder of this image. */
  resolve(name: string): string;
  /** Opens an image that this one names. */
  openImage(name: string, options: { readonly writable: boolean; readonly format?: Format }): Promise<Disk>;
  /** Opens a file that this image names, as it is. */
  openStorage(name: string): Promise<Storage>;
  warn(message: string): void;
}

/**
 * Opens a disk image of any format.
 * @throws DiskError OPEN_FAILED, LOCKED, BAD_IMAGE, UNSUPPORTED, CORRUPT, READ_ONLY, TOO_DEEP
 */
export function openDisk(path: string, options: OpenDiskOptions = {}): Promise<Disk> {
  return openAt(path, options, 1);
}

async function openAt(path: string, options: OpenDiskOptions, depth: number): Promise<Disk> {
  checkNesting(path, depth);
  const { writable = false, format, lock = true, direct = false } = options;
  if (format !== undefined && !FORMATS.includes(format)) {
    throw new DiskError(
      'UNSUPPORTED',
      `${path}: there is no format '${format}', only ${FORMATS.join(', ')}.`,
    );
  }
  if (writable && options.backing === false) {
    throw new DiskError('BAD_OPTION', `${path} is opened for writing, which needs its backing images.`);
  }
  const openStorage: OpenStorage = options.openStorage ?? FileStorage.open;
  const storage = await openStorage(path, { writable, lock, direct });
  try {
    const context: OpenContext = {
      options,
      depth,
      resolve: (name) => resolveBeside(path, name),
      openImage: (name, { format: partFormat, ...part }) => {
        const { format: _, ...rest } = options;
        const partOptions = { ...rest, ...part, ...(partFormat ? { format: partFormat } : {}) };
        return openAt(resolveBeside(path, name), partOptions, depth + 1);
      },
      openStorage: async (name) => await openStorage(resolveBeside(path, name), { writable, lock, direct }),
      warn: (message) => options.onWarning?.(message),
    };
    return await (format ? openFormat(format, storage, context) : openDetected(storage, context));
  } catch (error) {
    await storage[Symbol.asyncDispose]();
    throw error;
  }
}

async function openDetected(storage: Storage, context: OpenContext): Promise<Disk> {
  const format = await detectFormat(storage);
  if (format !== 'raw') return await openFormat(format, storage, context);
  if (await isFixedVhd(storage)) {
    context.warn(
      `${storage.name} ends like a fixed VHD image, and is opened as raw: give the format 'vhd' if it is one, or 'raw'.`,
    );
  }
  return storage.readOnly ? new RawDisk(storage) : new ProbedRawDisk(storage);
}

/** @throws DiskError TOO_DEEP */
export function checkNesting(path: string, depth: number): void {
  if (depth <= MAX_NESTING) return;
  throw new DiskError(
    'TOO_DEEP',
    `${path} is the ${depth}th image in a row that refers to another; ${MAX_NESTING} is the limit.`,
  );
}

async function openFormat(format: Format, storage: Storage, context: OpenContext): Promise<Disk> {
  switch (format) {
    case 'raw':
      return new RawDisk(storage);
    case 'qcow2':
      return await openQcow2(storage, context);
    case 'composite':
      return await CompositeDisk.open(storage, context);
    case 'android-sparse':
      return await AndroidSparseDisk.open(storage);
    case 'zstd':
      return await ZstdDisk.open(storage);
    case 'vmdk':
      return await VmdkDisk.open(storage, context);
    case 'vhdx':
      return await VhdxDisk.open(storage, context);
    case 'vhd':
      return await VhdDisk.open(storage, context);
  }
}

/** `name` as seen from the folder of `image`; the protocols of QEMU's names are not spoken. */
export function resolveBeside(image: string, name: string): string {
  const path = name.startsWith('file:') ? name.slice('file:'.length) : name;
  const protocol = /^([a-z][a-z0-9+.-]*):/.exec(path)?.[1];
  if (protocol !== undefined) {
    throw new DiskError(
      'UNSUPPORTED',
      `${image} refers to '${name}': only files are supported, not '${protocol}:'.`,
    );
  }
  return isAbsolute(path) ? path : join(dirname(image), path);
}
