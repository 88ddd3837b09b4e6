import type { Disk, Extent } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { SegmentList, type Segments, scatter, sliceSegments, zeroSegments } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';

/** Where the bytes of a disk are from a position on, as far as that is one place. */
export type Piece = {
  /** Bytes, more than none. */
  readonly length: number;
} & (
  | { readonly kind: 'data'; readonly storage: Storage; readonly offset: number }
  | { readonly kind: 'zero' | 'unallocated' }
  /** The image below has it, at the same position. */
  | { readonly kind: 'parent' }
  /** It is compressed with what is around it; `load` gives the bytes of the piece. */
  | { readonly kind: 'compressed'; load(): Promise<Uint8Array> }
);

/** What images that are tables of blocks have in common: they say where a piece is, and it is read here. */
export abstract class MappedDisk extends ReadOnlyDisk {
  /** The image that has what this one does not. */
  protected readonly parent: Disk | undefined;
  /** What is closed with the image: its parent, and the files of its parts. */
  readonly #resources: AsyncDisposableStack;

  /** Takes over everything. */
  constructor(storage: Storage, parent: Disk | undefined, resources: AsyncDisposableStack) {
    super(storage);
    this.parent = parent;
    this.#resources = resources;
  }

  /** Where the bytes at a position inside the disk are. */
  protected abstract pieceAt(position: number): Promise<Piece>;

  protected override async readRange(position: number, segments: Segments): Promise<void> {
    const scratch = new SegmentList();
    for (let done = 0; done < segments.byteLength; ) {
      const piece = await this.pieceAt(position + done);
      const length = Math.min(piece.length, segments.byteLength - done);
      const target = () => sliceSegments(segments, done, length, scratch);
      switch (piece.kind) {
        case 'data':
          await piece.storage.read(piece.offset, target());
          break;
        case 'compressed':
          scatter(segments, done, (await piece.load()).subarray(0, length));
          break;
        case 'parent':
          await this.#readParent(position + done, target());
          break;
        default:
          zeroSegments(segments, done, length);
      }
      done += length;
    }
  }

  protected override async extent(position: number): Promise<Extent> {
    const piece = await this.pieceAt(position);
    const length = Math.min(piece.length, this.size - position);
    switch (piece.kind) {
      case 'data':
        return piece.storage === this.storage
          ? { kind: 'data', length, depth: 0, offset: piece.offset }
          : { kind: 'data', length, depth: 0 };
      case 'compressed':
        return { kind: 'data', length, depth: 0, compressed: true };
      case 'parent': {
        if (!this.parent || position >= this.parent.size) return { kind: 'unallocated', length, depth: 0 };
        const below = await this.parent.extentAt(position);
        return { ...below, length: Math.min(below.length, length), depth: below.depth + 1 };
      }
      default:
        return { kind: piece.kind, length, depth: 0 };
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#resources[Symbol.asyncDispose]();
  }

  /** A parent may be shorter; behind its end it is zero. */
  async #readParent(position: number, segments: Segments): Promise<void> {
    const available = Math.max(0, Math.min(segments.byteLength, (this.parent?.size ?? 0) - position));
    if (this.parent && available > 0) {
      await this.parent.read(position, sliceSegments(segments, 0, available, new SegmentList()));
    }
    zeroSegments(segments, available, segments.byteLength - available);
  }
}

/** An image that is not well formed. */
export function malformed(storage: Storage, format: string, what: string): DiskError {
  return new DiskError('BAD_IMAGE', `${storage.name} is no well-formed ${format} image: ${what}.`);
}

/** The bytes of a storage from a position on; zero past its end. */
export async function readBytes(storage: Storage, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await storage.read(position, SegmentList.of(bytes));
  return bytes;
}

/** A 64-bit number that has to be one that JavaScript counts exactly; undefined when it is not. */
export function exact(value: bigint): number | undefined {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}
