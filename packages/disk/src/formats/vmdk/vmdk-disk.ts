import type { Disk } from '../../disk.ts';
import { DiskError } from '../../errors.ts';
import type { OpenContext } from '../../open.ts';
import type { Storage } from '../../storage/storage.ts';
import { MappedDisk, malformed, type Piece, readBytes } from '../mapped-disk.ts';
import { findStart } from '../read-only-disk.ts';
import { type Descriptor, type ExtentLine, parseDescriptor } from './descriptor.ts';
import { SPARSE_MAGIC, SparseExtent } from './sparse-extent.ts';

const SECTOR = 512;
const MAX_DESCRIPTOR = 2 ** 20;
const MAX_EXTENTS = 2 ** 12;

/** A part of a disk, from `start` on. */
interface Part {
  /** Bytes from the start of the disk. */
  readonly start: number;
  readonly length: number;
  /** Where the bytes at a position of the part are. */
  pieceAt(position: number): Piece | Promise<Piece>;
}

/**
 * A VMDK image: one sparse file, also stream-optimized, or a descriptor of flat, sparse and zero extents in files beside
 * it; with or without a parent.
 */
export class VmdkDisk extends MappedDisk {
  readonly format = 'vmdk';
  readonly size: number;
  readonly blockSize = SECTOR;
  /** What images that are based on this one know its contents by. */
  readonly contentId: string;
  readonly #parts: readonly Part[];
  readonly #starts: Float64Array;

  private constructor(
    storage: Storage,
    contentId: string,
    parts: readonly Part[],
    parent: Disk | undefined,
    resources: AsyncDisposableStack,
  ) {
    super(storage, parent, resources);
    this.contentId = contentId;
    this.#parts = parts;
    this.#starts = Float64Array.from(parts, ({ start }) => start);
    const last = parts.at(-1);
    this.size = last ? last.start + last.length : 0;
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED, and those of opening extents and a parent */
  static async open(storage: Storage, context: OpenContext): Promise<VmdkDisk> {
    await using resources = new AsyncDisposableStack();
    const start = await readBytes(storage, 0, SPARSE_MAGIC.length);
    const isSparse = start.toString('latin1') === SPARSE_MAGIC;
    const descriptor = await readDescriptor(storage, isSparse);
    const parent = descriptor.parent
      ? resources.use(await openParent(storage, descriptor.parent, context))
      : undefined;
    const hasParent = parent !== undefined;
    const parts = isSparse
      ? [sparsePart(0, await SparseExtent.open(storage, hasParent))]
      : await openParts(storage, descriptor, hasParent, context, resources);
    return new VmdkDisk(storage, descriptor.contentId, parts, parent, resources.move());
  }

  protected override async pieceAt(position: number): Promise<Piece> {
    const part = this.#parts[findStart(this.#starts, position)];
    if (!part) return { kind: 'zero', length: this.size - position };
    const within = position - part.start;
    const piece = await part.pieceAt(within);
    return { ...piece, length: Math.min(piece.length, part.length - within) };
  }
}

async function readDescriptor(storage: Storage, isSparse: boolean): Promise<Descriptor> {
  let text: string | undefined;
  if (isSparse) text = await SparseExtent.descriptor(storage);
  else if (storage.size <= MAX_DESCRIPTOR) text = (await readBytes(storage, 0, storage.size)).toString();
  // An extent of a disk in several files, which can be looked at on its own.
  if (text === undefined && isSparse) return { contentId: '', createType: '', extents: [] };
  const descriptor = text === undefined ? 'it is too long' : parseDescriptor(text);
  if (typeof descriptor !== 'string') return descriptor;
  throw malformed(storage, 'VMDK', `of its descriptor, ${descriptor}`);
}

async function openParts(
  storage: Storage,
  { extents, createType }: Descriptor,
  hasParent: boolean,
  context: OpenContext,
  resources: AsyncDisposableStack,
): Promise<readonly Part[]> {
  if (extents.length === 0 || extents.length > MAX_EXTENTS) {
    throw malformed(storage, 'VMDK', `its descriptor has ${extents.length} extents`);
  }
  const parts: Part[] = [];
  let start = 0;
  for (const line of extents) {
    const length = line.sectors * SECTOR;
    if (!Number.isSafeInteger(start + length) || length === 0) {
      throw malformed(storage, 'VMDK', `an extent has ${line.sectors} sectors`);
    }
    parts.push(await openPart(storage, line, start, length, createType, hasParent, context, resources));
    start += length;
  }
  return parts;
}

async function openPart(
  image: Storage,
  { type, file, offset }: ExtentLine,
  start: number,
  length: number,
  createType: string,
  hasParent: boolean,
  context: OpenContext,
  resources: AsyncDisposableStack,
): Promise<Part> {
  if (type === 'ZERO') {
    return { start, length, pieceAt: (position) => ({ kind: 'zero', length: length - position }) };
  }
  if (type !== 'FLAT' && type !== 'VMFS' && type !== 'SPARSE') {
    throw new DiskError(
      'UNSUPPORTED',
      `${image.name}: ${type} extents of VMDK (${createType}) are not known.`,
    );
  }
  const storage = resources.use(await context.openStorage(file));
  if (type === 'SPARSE') {
    const extent = await SparseExtent.open(storage, hasParent);
    if (extent.size < length) throw malformed(storage, 'VMDK', `it has ${extent.size} bytes, not ${length}`);
    return { ...sparsePart(start, extent), length };
  }
  const first = offset * SECTOR;
  if (!Number.isSafeInteger(first) || first + length > storage.size) {
    throw malformed(storage, 'VMDK', `${length} bytes from ${first} on are not all there`);
  }
  const pieceAt = (position: number): Piece => ({
    kind: 'data',
    storage,
    offset: first + position,
    length: length - position,
  });
  return { start, length, pieceAt };
}

function sparsePart(start: number, extent: SparseExtent): Part {
  return { start, length: extent.size, pieceAt: (position) => extent.pieceAt(position) };
}

async function openParent(
  storage: Storage,
  { contentId, file }: NonNullable<Descriptor['parent']>,
  context: OpenContext,
): Promise<Disk> {
  const parent = await context.openImage(file, { writable: false });
  if (parent instanceof VmdkDisk && parent.contentId === contentId) return parent;
  await parent[Symbol.asyncDispose]();
  throw new DiskError(
    'BAD_IMAGE',
    `${storage.name} is based on the VMDK image with the content ${contentId}, which ${JSON.stringify(file)} is not, or is no more.`,
  );
}
