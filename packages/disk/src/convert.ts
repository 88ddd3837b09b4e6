import { dirname, isAbsolute, join } from 'node:path';
import type { Disk } from './disk.ts';
import { DiskError } from './errors.ts';
import { type OpenDiskOptions, openDisk } from './open.ts';
import { formatQcow2, type Qcow2Format } from './qcow2/create.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import type { Progress } from './qcow2/references.ts';
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
 * Creates an image, in place of a file that may be there, and opens it for writing. A block device is formatted.
 * @throws DiskError BAD_OPTION, OPEN_FAILED, LOCKED
 */
export async function createDisk(path: string, options: CreateDiskOptions): Promise<Disk> {
  if (options.format === 'raw') {
    const storage = FileStorage.open(path, { create: true });
    if (!storage.isFixedSize) storage.resize(options.size);
    return new RawDisk(storage);
  }
  const size = options.size ?? (await backingSize(path, options));
  const { dataFile } = options;
  if (dataFile) {
    const dataPath = isAbsolute(dataFile.file) ? dataFile.file : join(dirname(path), dataFile.file);
    await using data = FileStorage.open(dataPath, { create: true });
    if (!data.isFixedSize) data.resize(size);
  }
  {
    await using storage = FileStorage.open(path, { create: true });
    await formatQcow2(storage, { ...options, size });
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

/** How a disk is copied. */
export interface CopyOptions {
  /** Writes compressed clusters; the destination has to be a qcow2 image. False unless given. */
  readonly compress?: boolean;
  /** The destination reads as zero already, so zeroes need not be written; false unless given. */
  readonly isDestinationZero?: boolean;
  /** Bytes done, of all. */
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

const BUFFER_LENGTH = 1024 * 1024;
/** Zeroes are found in units of these bytes: smaller holes cost more than they save. */
const ZERO_UNIT = 4096;
const ZEROES = Buffer.alloc(ZERO_UNIT);

/**
 * Copies all of a disk to the start of another, and flushes it. What reads as zero is not copied.
 * @throws DiskError BAD_OPTION when the destination is too small or cannot take compressed clusters
 */
export async function copyDisk(source: Disk, destination: Disk, options: CopyOptions = {}): Promise<void> {
  const { compress = false, isDestinationZero = false, onProgress, signal } = options;
  if (destination.size < source.size) {
    throw new DiskError(
      'BAD_OPTION',
      `${source.size} bytes do not fit on a disk of ${destination.size} bytes.`,
    );
  }
  const writer = compress
    ? new CompressingWriter(destination)
    : new PlainWriter(destination, isDestinationZero);
  const buffers = [Buffer.alloc(BUFFER_LENGTH), Buffer.alloc(BUFFER_LENGTH)];
  for (let position = 0; position < source.size; ) {
    signal?.throwIfAborted();
    const extent = await source.extentAt(position);
    if (extent.kind === 'data') {
      const unit = writer.unit;
      const limit = Math.max(BUFFER_LENGTH - (position % BUFFER_LENGTH), unit);
      // A unit that is compressed is read as a whole, whatever its parts are made of.
      const end = Math.ceil((position + Math.min(extent.length, limit)) / unit) * unit;
      const length = Math.min(end, source.size) - position;
      let buffer = buffers.shift();
      if (!buffer || buffer.length < length) buffer = Buffer.alloc(Math.max(length, BUFFER_LENGTH));
      const bytes = buffer.subarray(0, length);
      await source.read(position, bytes);
      await writer.write(position, bytes);
      buffers.push(buffer);
      position += length;
    } else {
      const end = position + extent.length;
      const aligned = end === source.size ? end : Math.max(end - (end % writer.unit), position);
      if (aligned > position) await writer.zero(position, aligned - position);
      // What is left belongs to a unit that has data too.
      if (aligned < end) {
        const unitEnd = Math.min(aligned + writer.unit, source.size);
        const bytes = Buffer.alloc(unitEnd - aligned);
        await source.read(aligned, bytes);
        await writer.write(aligned, bytes);
        position = unitEnd;
      } else {
        position = end;
      }
    }
    onProgress?.(position, source.size);
  }
  await writer.finish();
  await destination.flush();
}

/** Writes what is not zero. */
class PlainWriter {
  readonly unit = 1;
  readonly #disk: Disk;
  readonly #isZero: boolean;

  constructor(disk: Disk, isZero: boolean) {
    this.#disk = disk;
    this.#isZero = isZero;
  }

  async write(position: number, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const zeroes = zeroLength(bytes, at, true);
      if (zeroes > 0) await this.zero(position + at, zeroes);
      at += zeroes;
      const data = zeroLength(bytes, at, false);
      if (data > 0) await this.#disk.write(position + at, bytes.subarray(at, at + data));
      at += data;
    }
  }

  async zero(position: number, length: number): Promise<void> {
    if (!this.#isZero) await this.#disk.writeZeroes(position, length);
  }

  async finish(): Promise<void> {}
}

/** Writes clusters compressed, as many at once as there are threads for it. */
class CompressingWriter {
  readonly unit: number;
  readonly #disk: Qcow2Disk;
  readonly #running = new Set<Promise<void>>();
  #error: { readonly cause: unknown } | undefined;

  constructor(disk: Disk) {
    if (!(disk instanceof Qcow2Disk)) {
      throw new DiskError('BAD_OPTION', `Only qcow2 images can be compressed, not ${disk.format} ones.`);
    }
    this.#disk = disk;
    this.unit = 2 ** disk.header.clusterBits;
  }

  async write(position: number, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += this.unit) {
      const cluster = bytes.subarray(at, at + this.unit);
      if (isZero(cluster)) continue;
      const task = this.#disk.writeCompressed(position + at, Buffer.from(cluster)).then(
        () => {
          this.#running.delete(task);
        },
        (cause: unknown) => {
          this.#running.delete(task);
          this.#error ??= { cause };
        },
      );
      this.#running.add(task);
      if (this.#running.size >= 4) await Promise.race(this.#running);
      if (this.#error) throw this.#error.cause;
    }
  }

  async zero(): Promise<void> {}

  async finish(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#error) throw this.#error.cause;
  }
}

/** Bytes from `start` on that are zero, or are not, in whole units. */
function zeroLength(bytes: Buffer, start: number, wanted: boolean): number {
  let end = start;
  while (end < bytes.length) {
    const next = Math.min(end + ZERO_UNIT, bytes.length);
    const is = (bytes[end] === 0 && ZEROES.compare(bytes, end, next, 0, next - end) === 0) === wanted;
    if (!is) break;
    end = next;
  }
  return end - start;
}

function isZero(bytes: Buffer): boolean {
  return zeroLength(bytes, 0, true) === bytes.length;
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
 * @throws DiskError LOCKED when somebody uses either image; BAD_OPTION; and those of opening the original
 */
export async function convertDisk(from: string, to: string, options: ConvertOptions): Promise<void> {
  const { source: sourceOptions, destination: format, ...copy } = options;
  await using source = await openDisk(from, sourceOptions);
  if (copy.compress && format.format !== 'qcow2') {
    throw new DiskError('BAD_OPTION', `Only qcow2 images can be compressed, not ${format.format} ones.`);
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
