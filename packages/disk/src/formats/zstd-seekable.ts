import { Readable } from 'node:stream';
import { createZstdDecompress, zstdDecompressSync } from 'node:zlib';
import type { Extent } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { SegmentList, type Segments, scatter } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { findStart, ReadOnlyDisk } from './read-only-disk.ts';

/** zstd's contrib/seekable_format. All numbers are little-endian. */
const SKIPPABLE_MAGIC = 0x184d_2a5e;
const FOOTER_MAGIC = 0x8f92_eab1;
const FOOTER_LENGTH = 9;
const FRAME_HEADER_LENGTH = 8;
const HAS_CHECKSUMS = 0x80;
const RESERVED = 0x7c;
const MAX_FRAMES = 2 ** 24;

/** Frames up to this size are decompressed whole and kept; larger ones are read like a tape. Bytes. */
const WHOLE_FRAME = 16 * 2 ** 20;
const MAX_CACHED = 32 * 2 ** 20;
const TAPE_READ = 256 * 1024;

/** An image compressed by zstd, with the seek table that makes it readable from anywhere. */
export class ZstdDisk extends ReadOnlyDisk {
  readonly format = 'zstd';
  readonly size: number;
  readonly blockSize = 512;
  /** Where each frame starts, in the disk and in the file; one more than there are frames. */
  readonly #starts: Float64Array;
  readonly #offsets: Float64Array;
  /** Decompressed frames, the one used last at the end. */
  readonly #frames = new Map<number, Uint8Array>();
  #cachedBytes = 0;
  #tape: Tape | undefined;
  /** One request at a time winds the tape. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(storage: Storage, starts: Float64Array, offsets: Float64Array) {
    super(storage);
    this.#starts = starts;
    this.#offsets = offsets;
    this.size = starts[starts.length - 1] ?? 0;
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED */
  static async open(storage: Storage): Promise<ZstdDisk> {
    const bad = (what: string) =>
      new DiskError('BAD_IMAGE', `${storage.name} is no well-formed seekable zstd image: ${what}.`);
    if (storage.size < FOOTER_LENGTH + FRAME_HEADER_LENGTH) throw bad('it is too short');
    const footer = await readView(storage, storage.size - FOOTER_LENGTH, FOOTER_LENGTH);
    if (footer.getUint32(5, true) !== FOOTER_MAGIC) {
      throw new DiskError(
        'UNSUPPORTED',
        `${storage.name} is compressed by zstd without a seek table: decompress it, or compress it with one.`,
      );
    }
    const count = footer.getUint32(0, true);
    const descriptor = footer.getUint8(4);
    if ((descriptor & RESERVED) !== 0) throw bad('reserved bits are set');
    const entryLength = (descriptor & HAS_CHECKSUMS) !== 0 ? 12 : 8;
    const tableLength = count * entryLength + FOOTER_LENGTH;
    const tableStart = storage.size - tableLength - FRAME_HEADER_LENGTH;
    if (count > MAX_FRAMES || tableStart < 0) throw bad(`a seek table of ${count} frames`);
    const table = await readView(storage, tableStart, FRAME_HEADER_LENGTH + count * entryLength);
    if (table.getUint32(0, true) !== SKIPPABLE_MAGIC || table.getUint32(4, true) !== tableLength) {
      throw bad('the seek table is no frame of its own');
    }
    const starts = new Float64Array(count + 1);
    const offsets = new Float64Array(count + 1);
    for (let i = 0; i < count; i++) {
      const at = FRAME_HEADER_LENGTH + i * entryLength;
      offsets[i + 1] = (offsets[i] ?? 0) + table.getUint32(at, true);
      starts[i + 1] = (starts[i] ?? 0) + table.getUint32(at + 4, true);
    }
    if ((offsets[count] ?? 0) > tableStart) throw bad('the frames overlap the seek table');
    return new ZstdDisk(storage, starts, offsets);
  }

  protected override async readRange(position: number, segments: Segments): Promise<void> {
    for (let done = 0; done < segments.byteLength; ) {
      const at = position + done;
      const frame = findStart(this.#starts, at);
      const start = this.#starts[frame] ?? 0;
      const length = (this.#starts[frame + 1] ?? 0) - start;
      const part = Math.min(segments.byteLength - done, start + length - at);
      if (length <= WHOLE_FRAME) {
        const bytes = this.#frames.get(frame) ?? (await this.#decompress(frame, length));
        scatter(segments, done, bytes.subarray(at - start, at - start + part));
      } else {
        await this.#wind(frame, at - start, segments, done, part);
      }
      done += part;
    }
  }

  protected override extent(position: number): Extent {
    return { kind: 'data', length: this.size - position, depth: 0, compressed: true };
  }

  async #decompress(frame: number, length: number): Promise<Uint8Array> {
    const offset = this.#offsets[frame] ?? 0;
    const compressed = new Uint8Array((this.#offsets[frame + 1] ?? 0) - offset);
    await this.storage.read(offset, SegmentList.of(compressed));
    let bytes: Uint8Array;
    try {
      bytes = zstdDecompressSync(compressed, { maxOutputLength: Math.max(1, length) });
    } catch (cause) {
      throw this.#broken(frame, cause);
    }
    if (bytes.length !== length) throw this.#broken(frame);
    this.#frames.set(frame, bytes);
    this.#cachedBytes += length;
    for (const [oldest, cached] of this.#frames) {
      if (this.#cachedBytes <= MAX_CACHED || oldest === frame) break;
      this.#frames.delete(oldest);
      this.#cachedBytes -= cached.length;
    }
    return bytes;
  }

  /** Reads from a frame that is too large to be held in memory: forwards from where the last request ended. */
  async #wind(
    frame: number,
    within: number,
    segments: Segments,
    start: number,
    length: number,
  ): Promise<void> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      if (this.#tape?.frame !== frame || this.#tape.position > within) {
        await this.#tape?.stop();
        const from = this.#offsets[frame] ?? 0;
        this.#tape = new Tape(this.storage, frame, from, this.#offsets[frame + 1] ?? 0);
      }
      await this.#tape.read(within, segments, start, length);
    } catch (cause) {
      await this.#tape?.stop();
      this.#tape = undefined;
      throw this.#broken(frame, cause);
    } finally {
      resolve();
    }
  }

  #broken(frame: number, cause?: unknown): DiskError {
    return new DiskError('BAD_IMAGE', `${this.storage.name}: frame ${frame} is no zstd data of its length.`, {
      cause,
    });
  }
}

/** A frame that is decompressed from its start on. */
class Tape {
  readonly frame: number;
  /** Bytes of the frame that are behind. */
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  constructor(storage: Storage, frame: number, from: number, to: number) {
    this.frame = frame;
    const decompress = createZstdDecompress();
    const source = Readable.from(pieces(storage, from, to));
    source.on('error', (error) => decompress.destroy(error));
    this.#chunks = source.pipe(decompress)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  async read(within: number, segments: Segments, start: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const skipped = Math.min(within + done - this.position, this.#rest.length);
      this.#take(skipped);
      const part = Math.min(length - done, this.#rest.length);
      if (part > 0 && this.position === within + done) {
        scatter(segments, start + done, this.#take(part));
        done += part;
      }
      if (done === length) return;
      const next = await this.#chunks.next();
      if (next.done) throw new Error('the frame ends early');
      this.#rest = new Uint8Array(next.value);
    }
  }

  async stop(): Promise<void> {
    await this.#chunks.return?.();
  }

  #take(length: number): Uint8Array {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    this.position += length;
    return taken;
  }
}

async function* pieces(storage: Storage, from: number, to: number): AsyncGenerator<Uint8Array> {
  for (let at = from; at < to; at += TAPE_READ) {
    const bytes = new Uint8Array(Math.min(TAPE_READ, to - at));
    await storage.read(at, SegmentList.of(bytes));
    yield bytes;
  }
}

async function readView(storage: Storage, position: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  await storage.read(position, SegmentList.of(bytes));
  return new DataView(bytes.buffer);
}
