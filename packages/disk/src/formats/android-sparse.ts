import type { Extent } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { SegmentList, type Segments, scatter, sliceSegments, zeroSegments } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { findStart, ReadOnlyDisk } from './read-only-disk.ts';

/** Android's system/core/libsparse/sparse_format.h. All numbers are little-endian. */
const MAGIC = 0xed26_ff3a;
const HEADER_LENGTH = 28;
const CHUNK_HEADER_LENGTH = 12;
const CHUNK_RAW = 0xcac1;
const CHUNK_FILL = 0xcac2;
const CHUNK_DONT_CARE = 0xcac3;
const CHUNK_CRC32 = 0xcac4;
const MAX_CHUNKS = 2 ** 24;
const FILL_LENGTH = 4;

/** Where the bytes of a piece of the disk come from. */
interface Chunk {
  readonly start: number;
  readonly kind: 'data' | 'fill' | 'zero';
  /** Offset in the file for data, the four bytes for a fill. */
  readonly value: number;
}

/** An Android sparse image, version 1. Checksums in it are not verified. */
export class AndroidSparseDisk extends ReadOnlyDisk {
  readonly format = 'android-sparse';
  readonly size: number;
  readonly blockSize: number;
  readonly #chunks: readonly Chunk[];
  readonly #starts: Float64Array;

  private constructor(storage: Storage, chunks: readonly Chunk[], size: number, blockSize: number) {
    super(storage);
    this.size = size;
    this.blockSize = blockSize;
    this.#chunks = chunks;
    this.#starts = Float64Array.from(chunks, ({ start }) => start);
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED */
  static async open(storage: Storage): Promise<AndroidSparseDisk> {
    const bad = (what: string) =>
      new DiskError('BAD_IMAGE', `${storage.name} is no well-formed Android sparse image: ${what}.`);
    const header = await readView(storage, 0, HEADER_LENGTH);
    if (header.getUint32(0, true) !== MAGIC) throw bad('the magic is missing');
    const version = header.getUint16(4, true);
    if (version !== 1) {
      throw new DiskError(
        'UNSUPPORTED',
        `${storage.name}: Android sparse images of version ${version} are not known.`,
      );
    }
    const headerLength = header.getUint16(8, true);
    if (headerLength < HEADER_LENGTH) throw bad(`a header of ${headerLength} bytes`);
    if (header.getUint16(10, true) !== CHUNK_HEADER_LENGTH) throw bad('chunk headers of an unknown length');
    const blockSize = header.getUint32(12, true);
    if (blockSize === 0 || blockSize % 4 !== 0) throw bad(`blocks of ${blockSize} bytes`);
    const blockCount = header.getUint32(16, true);
    const chunkCount = header.getUint32(20, true);
    if (chunkCount > MAX_CHUNKS) throw bad(`${chunkCount} chunks`);
    const chunks: Chunk[] = [];
    let offset = headerLength;
    let blocks = 0;
    for (let i = 0; i < chunkCount; i++) {
      if (offset + CHUNK_HEADER_LENGTH > storage.size) throw bad(`chunk ${i} lies past the end of the file`);
      const chunk = await readView(storage, offset, CHUNK_HEADER_LENGTH + FILL_LENGTH);
      const type = chunk.getUint16(0, true);
      const count = chunk.getUint32(4, true);
      const length = chunk.getUint32(8, true) - CHUNK_HEADER_LENGTH;
      const data = offset + CHUNK_HEADER_LENGTH;
      const kind = ({ [CHUNK_RAW]: 'data', [CHUNK_FILL]: 'fill', [CHUNK_DONT_CARE]: 'zero' } as const)[type];
      if (!kind && type !== CHUNK_CRC32) throw bad(`chunk ${i} has type 0x${type.toString(16)}`);
      const expected = kind === 'data' ? count * blockSize : kind === 'zero' ? 0 : FILL_LENGTH;
      if (length !== expected || data + length > storage.size)
        throw bad(`chunk ${i} has ${length} bytes of data`);
      if (kind && count > 0) {
        const fill = chunk.getUint32(CHUNK_HEADER_LENGTH, true);
        const isZero = kind === 'zero' || (kind === 'fill' && fill === 0);
        const value = kind === 'data' ? data : fill;
        chunks.push({ start: blocks * blockSize, kind: isZero ? 'zero' : kind, value });
        blocks += count;
      }
      offset = data + length;
    }
    if (blocks !== blockCount) throw bad(`its chunks have ${blocks} blocks, not ${blockCount}`);
    return new AndroidSparseDisk(storage, chunks, blockCount * blockSize, blockSize);
  }

  protected override async readRange(position: number, segments: Segments): Promise<void> {
    const scratch = new SegmentList();
    let index = findStart(this.#starts, position);
    for (let done = 0; done < segments.byteLength; index++) {
      const at = position + done;
      const chunk = this.#chunks[index];
      const part = Math.min(segments.byteLength - done, this.#end(index) - at);
      if (chunk?.kind === 'data') {
        await this.storage.read(chunk.value + at - chunk.start, sliceSegments(segments, done, part, scratch));
      } else if (chunk?.kind === 'fill') {
        scatter(segments, done, filled(chunk.value, at - chunk.start, part));
      } else {
        zeroSegments(segments, done, part);
      }
      done += part;
    }
  }

  protected override extent(position: number): Extent {
    const index = findStart(this.#starts, position);
    const chunk = this.#chunks[index];
    const length = this.#end(index) - position;
    if (chunk?.kind === 'data') {
      return { kind: 'data', length, depth: 0, offset: chunk.value + position - chunk.start };
    }
    return { kind: chunk?.kind === 'fill' ? 'data' : 'zero', length, depth: 0 };
  }

  #end(index: number): number {
    return this.#starts[index + 1] ?? this.size;
  }
}

async function readView(storage: Storage, position: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  await storage.read(position, SegmentList.of(bytes));
  return new DataView(bytes.buffer);
}

/** `length` bytes of a word that repeats, from byte `from` of the repetition on. */
function filled(word: number, from: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  const pattern = Buffer.alloc(4);
  pattern.writeUInt32LE(word);
  const shift = from % 4;
  return bytes.fill(Buffer.concat([pattern.subarray(shift), pattern.subarray(0, shift)]));
}
