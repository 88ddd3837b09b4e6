import { FORMATS, type Format } from '../detect.ts';
import type { Disk } from '../disk.ts';
import { DiskError } from '../errors.ts';
import type { OpenContext } from '../open.ts';
import type { Storage } from '../storage/storage.ts';
import { recover } from './check.ts';
import { Incompatible } from './features.ts';
import type { Qcow2Header } from './header.ts';
import { Qcow2Image } from './image.ts';
import { Qcow2Disk } from './qcow2-disk.ts';

/** QEMU's names for what is raw. */
const RAW_NAMES = ['file', 'host_device'];

/**
 * Opens a qcow2 image with its backing images and its data file. One that was not closed, and has the dirty bit, has its
 * refcounts made right before it is written.
 */
export async function openQcow2(storage: Storage, context: OpenContext): Promise<Qcow2Disk> {
  const header = await Qcow2Image.readHeader(storage);
  if (!storage.readOnly && (header.incompatible & Incompatible.corrupt) !== 0) {
    throw new DiskError('CORRUPT', `${storage.name} is marked corrupt. Repair it, or open it read-only.`);
  }
  await using opened = new AsyncDisposableStack();
  const data = await openData(storage, header, context);
  if (data !== storage) opened.use(data);
  let image = await Qcow2Image.load(storage, data, header, context.options);
  if (image.isDirty && !storage.readOnly) {
    context.warn(`${storage.name} was not closed properly: its refcounts are counted anew.`);
    await recover(image);
    image = await Qcow2Image.load(storage, data, header, context.options);
  }
  const backing = context.options.backing === false ? undefined : await openBacking(header, context);
  opened.move();
  return new Qcow2Disk(image, backing, storage.readOnly);
}

async function openData(storage: Storage, header: Qcow2Header, context: OpenContext): Promise<Storage> {
  if ((header.incompatible & Incompatible.externalData) === 0) return storage;
  if (!header.dataFile) {
    throw new DiskError(
      'BAD_IMAGE',
      `${storage.name} has its data in another file, and does not say in which.`,
    );
  }
  return await context.openStorage(header.dataFile);
}

async function openBacking(header: Qcow2Header, context: OpenContext): Promise<Disk | undefined> {
  const { backingFile, backingFormat } = header;
  if (backingFile === undefined) return undefined;
  if (backingFormat === undefined) {
    context.warn(
      `The format of the backing image ${backingFile} is not recorded, so it is found out by its contents. ` +
        'A raw image that a guest has written could pretend to be another format: record it.',
    );
    return await context.openImage(backingFile, { writable: false });
  }
  const format = recordedFormat(backingFile, backingFormat);
  return await context.openImage(backingFile, { writable: false, format });
}

/**
 * The format that an image records for its backing image.
 * @throws DiskError UNSUPPORTED
 */
export function recordedFormat(file: string, recorded: string): Format {
  const format = FORMATS.find((known) => known === (RAW_NAMES.includes(recorded) ? 'raw' : recorded));
  if (format) return format;
  throw new DiskError(
    'UNSUPPORTED',
    `The backing image ${file} has format '${recorded}'; known are ${FORMATS.join(', ')}.`,
  );
}
