import type { Disk } from './disk.ts';
import { DiskError } from './errors.ts';
import { Qcow2Disk } from './qcow2/qcow2-disk.ts';
import type { Progress } from './qcow2/references.ts';

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
/** What is zero is mostly longer than that: so much is compared at once first. */
const ZERO_STRIDE = 64 * 1024;
const ZEROES = Buffer.alloc(ZERO_STRIDE);

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
  // It must not go on reading when this fails: the disk may be closed then.
  await using reader = new PieceReader(source, writer.unit);
  // The next pieces are read while one is written.
  const ahead: Piece[] = [];
  const readAhead = async () => {
    for (let isEnd = false; ahead.length < READ_AHEAD && !isEnd; ) {
      const piece = await reader.next();
      if (piece) ahead.push(piece);
      isEnd = piece === undefined;
    }
  };
  await readAhead();
  for (let piece = ahead.shift(); piece; piece = ahead.shift()) {
    signal?.throwIfAborted();
    await readAhead();
    const { position, length, bytes } = piece;
    if (bytes) await writer.write(position, await bytes);
    else await writer.zero(position, length);
    onProgress?.(position + length, source.size);
  }
  await writer.finish();
  await destination.flush();
}

/** A part of a disk that is being read, or that reads as zero. */
interface Piece {
  readonly position: number;
  readonly length: number;
  readonly bytes?: Promise<Buffer>;
}

/** Pieces that are being read, or wait to be written: while one is, a few that are zero may go by. */
const READ_AHEAD = 3;

/** Reads a disk from its start to its end, in pieces that start at multiples of a unit. */
class PieceReader implements AsyncDisposable {
  readonly #disk: Disk;
  readonly #unit: number;
  readonly #buffers: Buffer[] = [];
  #position = 0;
  /** What the disk is made of up to there. Asked for once, as finding out may take as long as it is long. */
  #extentEnd = 0;
  #isData = false;
  #count = 0;
  /** What has been begun and is not done. */
  readonly #reading = new Set<Promise<unknown>>();

  constructor(disk: Disk, unit: number) {
    this.#disk = disk;
    this.#unit = unit;
  }

  /** Begins to read the next piece; what was given out before the last {@link READ_AHEAD} is overwritten. */
  async next(): Promise<Piece | undefined> {
    const position = this.#position;
    const { size } = this.#disk;
    if (position >= size) return undefined;
    if (position >= this.#extentEnd) await this.#findExtent(position);
    const unit = this.#unit;
    if (!this.#isData) {
      const end = this.#extentEnd === size ? size : this.#extentEnd - (this.#extentEnd % unit);
      if (end > position) {
        this.#position = end;
        return { position, length: end - position };
      }
    }
    // A unit that is compressed is read as a whole, whatever its parts are made of.
    const limit = Math.max(BUFFER_LENGTH - (position % BUFFER_LENGTH), unit);
    const wanted = Math.min(this.#extentEnd - position, limit);
    const end = Math.min(Math.ceil((position + wanted) / unit) * unit, size);
    this.#position = end;
    return { position, length: end - position, bytes: this.#read(position, end - position) };
  }

  /** Data that lies in several places, as every compressed cluster does, is read together. */
  async #findExtent(position: number): Promise<void> {
    const { kind, length } = await this.#disk.extentAt(position);
    this.#isData = kind === 'data';
    let end = position + length;
    while (this.#isData && end < this.#disk.size && end - position < BUFFER_LENGTH) {
      const next = await this.#disk.extentAt(end);
      if (next.kind !== 'data') break;
      end += next.length;
    }
    this.#extentEnd = end;
  }

  #read(position: number, length: number): Promise<Buffer> {
    const slot = this.#count++ % (READ_AHEAD + 1);
    let buffer = this.#buffers[slot];
    if (!buffer || buffer.length < length) {
      buffer = Buffer.allocUnsafeSlow(Math.max(length, BUFFER_LENGTH));
      this.#buffers[slot] = buffer;
    }
    const bytes = buffer.subarray(0, length);
    const reading = this.#disk.read(position, bytes).then(() => bytes);
    // Should writing a piece before fail, nobody looks at this one.
    const settled: Promise<boolean> = reading.then(
      () => this.#reading.delete(settled),
      () => this.#reading.delete(settled),
    );
    this.#reading.add(settled);
    return reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#reading);
  }
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

/** Clusters that are being compressed, or wait for it: more than the thread pool has threads, so that none of them waits. */
const MAX_COMPRESSING = 8;

/** Writes clusters compressed. */
class CompressingWriter {
  readonly unit: number;
  readonly #disk: Qcow2Disk;
  readonly #running = new Set<Promise<void>>();
  /** For clusters that are to come. */
  readonly #buffers: Buffer[] = [];
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
      const copy = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(this.unit);
      copy.set(cluster);
      const task = this.#compress(position + at, copy, cluster.length).finally(() => {
        this.#running.delete(task);
        this.#buffers.push(copy);
      });
      this.#running.add(task);
      if (this.#running.size >= MAX_COMPRESSING) await Promise.race(this.#running);
      if (this.#error) throw this.#error.cause;
    }
  }

  /** Does not reject: the next step of the copy tells what went wrong. */
  async #compress(position: number, buffer: Buffer, length: number): Promise<void> {
    try {
      await this.#disk.writeCompressed(position, buffer.subarray(0, length));
    } catch (cause) {
      this.#error ??= { cause };
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
  while (wanted && end + ZERO_STRIDE <= bytes.length && isZeroRange(bytes, end, end + ZERO_STRIDE)) {
    end += ZERO_STRIDE;
  }
  while (end < bytes.length) {
    const next = Math.min(end + ZERO_UNIT, bytes.length);
    if (isZeroRange(bytes, end, next) !== wanted) break;
    end = next;
  }
  return end - start;
}

function isZeroRange(bytes: Buffer, start: number, end: number): boolean {
  return bytes[start] === 0 && ZEROES.compare(bytes, start, end, 0, end - start) === 0;
}

function isZero(bytes: Buffer): boolean {
  return zeroLength(bytes, 0, true) === bytes.length;
}
