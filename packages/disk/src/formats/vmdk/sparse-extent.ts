import { inflateSync } from 'node:zlib';
import { DiskError } from '../../errors.ts';
import type { Storage } from '../../storage/storage.ts';
import { exact, malformed, type Piece, readBytes } from '../mapped-disk.ts';
import { PageCache } from '../page-cache.ts';

// VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents". Numbers
// are little-endian, and most count sectors.

export const SPARSE_MAGIC = 'KDMV';
const SECTOR = 512;
const HEADER_LENGTH = 512;
const Flag = { newlineTest: 1, zeroGrains: 4, compressed: 2 ** 16 } as const;
const DEFLATE = 1;
/** gdOffset when the directory is written last, and a second header at the end tells where it is. */
const DIRECTORY_AT_END = 2n ** 64n - 1n;
/** What a binary transfer as text would have changed. */
const NEWLINES = '\n \r\n';
const ZERO_GRAIN = 1;
const MAX_GRAIN = 2 ** 23;
const MAX_TABLE_ENTRIES = 2 ** 16;
const MAX_DESCRIPTOR = 2 ** 20;
/** A grain's number and length, in front of its compressed bytes. */
const MARKER_LENGTH = 12;
const MAX_CACHED = 16 * 2 ** 20;

interface Header {
  readonly flags: number;
  /** Bytes. */
  readonly size: number;
  readonly grainLength: number;
  readonly tableEntries: number;
  readonly directory: number;
  readonly descriptorOffset: number;
  readonly descriptorLength: number;
}

/** A file that holds the grains of a disk, or of a part of one, that were written. */
export class SparseExtent {
  /** Bytes. */
  readonly size: number;
  readonly #storage: Storage;
  readonly #header: Header;
  readonly #pages: PageCache;
  readonly #hasParent: boolean;
  /** Decompressed grains by where they are; the one used last at the end. */
  readonly #grains = new Map<number, Uint8Array>();

  private constructor(storage: Storage, header: Header, hasParent: boolean) {
    this.#storage = storage;
    this.#header = header;
    this.#pages = new PageCache(storage);
    this.#hasParent = hasParent;
    this.size = header.size;
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED */
  static async open(storage: Storage, hasParent: boolean): Promise<SparseExtent> {
    return new SparseExtent(storage, await readHeader(storage), hasParent);
  }

  /** The text of the descriptor inside; undefined when there is none. */
  static async descriptor(storage: Storage): Promise<string | undefined> {
    const { descriptorOffset, descriptorLength } = await readHeader(storage);
    if (descriptorOffset === 0 || descriptorLength === 0) return undefined;
    if (descriptorLength > MAX_DESCRIPTOR || descriptorOffset + descriptorLength > storage.size) {
      throw malformed(storage, 'VMDK', 'its descriptor does not lie inside the file');
    }
    return (await readBytes(storage, descriptorOffset, descriptorLength)).toString();
  }

  /** Where the bytes at a position of the extent are. */
  async pieceAt(position: number): Promise<Piece> {
    const { grainLength, tableEntries, directory, flags } = this.#header;
    const within = position % grainLength;
    const grain = (position - within) / grainLength;
    const length = Math.min(grainLength - within, this.size - position);
    const missing: Piece = { kind: this.#hasParent ? 'parent' : 'unallocated', length };
    const table = await this.#pages.uint32(directory + 4 * Math.floor(grain / tableEntries));
    if (table === 0) return missing;
    if ((table + (tableEntries * 4) / SECTOR) * SECTOR > Math.ceil(this.#storage.size / SECTOR) * SECTOR) {
      throw malformed(
        this.#storage,
        'VMDK',
        `grain table ${Math.floor(grain / tableEntries)} lies past the end of the file`,
      );
    }
    const sector = await this.#pages.uint32(table * SECTOR + 4 * (grain % tableEntries));
    if (sector === 0) return missing;
    if (sector === ZERO_GRAIN && (flags & Flag.zeroGrains) !== 0) return { kind: 'zero', length };
    const offset = sector * SECTOR;
    if ((flags & Flag.compressed) !== 0) {
      const load = async () => (await this.#decompress(grain, offset)).subarray(within, within + length);
      return { kind: 'compressed', length, load };
    }
    if (offset + within + length > this.#storage.size) {
      throw malformed(this.#storage, 'VMDK', `grain ${grain} lies past the end of the file`);
    }
    return { kind: 'data', storage: this.#storage, offset: offset + within, length };
  }

  async #decompress(grain: number, offset: number): Promise<Uint8Array> {
    const cached = this.#grains.get(offset);
    if (cached) {
      this.#grains.delete(offset);
      this.#grains.set(offset, cached);
      return cached;
    }
    const { grainLength } = this.#header;
    const broken = (cause?: unknown) => {
      const error = malformed(this.#storage, 'VMDK', `grain ${grain} is no compressed data of its length`);
      return cause === undefined ? error : new DiskError(error.code, error.message, { cause });
    };
    const marker = await readBytes(this.#storage, offset, MARKER_LENGTH);
    const length = marker.readUInt32LE(8);
    if (
      length === 0 ||
      length > 2 * grainLength + 1024 ||
      offset + MARKER_LENGTH + length > this.#storage.size
    ) {
      throw broken();
    }
    const compressed = await readBytes(this.#storage, offset + MARKER_LENGTH, length);
    let bytes: Uint8Array;
    try {
      bytes = inflateSync(compressed, { maxOutputLength: grainLength });
    } catch (cause) {
      throw broken(cause);
    }
    // The last grain of a disk may be cut off where the disk ends.
    const wanted = Math.min(grainLength, this.size - grain * grainLength);
    if (bytes.length < wanted) throw broken();
    this.#grains.set(offset, bytes);
    const oldest = this.#grains.keys().next().value;
    if (this.#grains.size * grainLength > MAX_CACHED && oldest !== undefined) this.#grains.delete(oldest);
    return bytes;
  }
}

async function readHeader(storage: Storage): Promise<Header> {
  let bytes = await readBytes(storage, 0, HEADER_LENGTH);
  const first = decodeHeader(storage, bytes);
  if (bytes.readBigUInt64LE(56) !== DIRECTORY_AT_END) return first(bytes.readBigUInt64LE(56));
  // The last two sectors are the second header and a marker of zeroes.
  bytes = await readBytes(storage, Math.max(0, storage.size - 2 * SECTOR), HEADER_LENGTH);
  return decodeHeader(storage, bytes)(bytes.readBigUInt64LE(56));
}

/** Checks a header, all but where its directory is. */
function decodeHeader(storage: Storage, bytes: Buffer): (directory: bigint) => Header {
  const bad = (what: string) => malformed(storage, 'VMDK', what);
  if (bytes.toString('latin1', 0, 4) !== SPARSE_MAGIC) throw bad('a header is missing');
  const version = bytes.readUInt32LE(4);
  if (version < 1 || version > 3) {
    throw new DiskError('UNSUPPORTED', `${storage.name}: VMDK extents of version ${version} are not known.`);
  }
  const flags = bytes.readUInt32LE(8);
  if ((flags & Flag.newlineTest) !== 0 && bytes.toString('latin1', 73, 77) !== NEWLINES) {
    throw bad('it was transferred as text');
  }
  const sectors = (at: number, name: string) => {
    const value = exact(bytes.readBigUInt64LE(at) * BigInt(SECTOR));
    if (value === undefined) throw bad(`its ${name} cannot be`);
    return value;
  };
  const size = sectors(12, 'size');
  const grainLength = sectors(20, 'grain size');
  const tableEntries = bytes.readUInt32LE(44);
  if (grainLength < 8 * SECTOR || grainLength > MAX_GRAIN || !Number.isInteger(Math.log2(grainLength))) {
    throw bad(`grains of ${grainLength} bytes`);
  }
  if (tableEntries < 128 || tableEntries > MAX_TABLE_ENTRIES || tableEntries % 128 !== 0) {
    throw bad(`grain tables of ${tableEntries} entries`);
  }
  if ((flags & Flag.compressed) !== 0 && bytes.readUInt16LE(77) !== DEFLATE) {
    throw new DiskError(
      'UNSUPPORTED',
      `${storage.name}: compression ${bytes.readUInt16LE(77)} of VMDK is not known.`,
    );
  }
  const descriptorOffset = sectors(28, 'descriptor');
  const descriptorLength = sectors(36, 'descriptor');
  return (directorySectors) => {
    const directory = exact(directorySectors * BigInt(SECTOR));
    const entries = Math.ceil(size / grainLength / tableEntries);
    if (directory === undefined || directory === 0 || directory + 4 * entries > storage.size) {
      throw bad('its grain directory does not lie inside the file');
    }
    return { flags, size, grainLength, tableEntries, directory, descriptorOffset, descriptorLength };
  };
}
