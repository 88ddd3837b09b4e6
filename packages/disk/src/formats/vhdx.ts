import type { Disk } from '../disk.ts';
import { DiskError } from '../errors.ts';
import type { OpenContext } from '../open.ts';
import type { Storage } from '../storage/storage.ts';
import { exact, MappedDisk, malformed, type Piece } from './mapped-disk.ts';
import { PageCache } from './page-cache.ts';
import { alikeSectors } from './sector-bitmap.ts';
import {
  FileParameterFlag,
  Item,
  type Metadata,
  Region,
  readHeader,
  readMetadata,
  readRegions,
} from './vhdx-header.ts';
import { parentName } from './windows-path.ts';

// [MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format". Numbers are little-endian.

const MIB = 2 ** 20;
/** Sectors that one bitmap block is about. */
const CHUNK_SECTORS = 2 ** 23;
const MAX_SIZE = 64 * 2 ** 40;
const PayloadState = { notPresent: 0, undefined: 1, zero: 2, unmapped: 3, full: 6, partial: 7 } as const;
const BITMAP_PRESENT = 6;
const MAX_LOCATOR = MIB;

/** A VHDX image: fixed, dynamic or differencing. One whose log has to be replayed is refused. */
export class VhdxDisk extends MappedDisk {
  readonly format = 'vhdx';
  readonly size: number;
  readonly blockSize: number;
  /** What images that are based on this one know its contents by: a GUID in braces. */
  readonly dataWriteGuid: string;
  readonly #tableOffset: number;
  readonly #blockLength: number;
  /** Blocks for each bitmap block. */
  readonly #chunkRatio: number;
  readonly #pages: PageCache;

  private constructor(
    storage: Storage,
    layout: Layout,
    parent: Disk | undefined,
    resources: AsyncDisposableStack,
  ) {
    super(storage, parent, resources);
    this.size = layout.size;
    this.blockSize = layout.sectorLength;
    this.dataWriteGuid = layout.dataWriteGuid;
    this.#tableOffset = layout.tableOffset;
    this.#blockLength = layout.blockLength;
    this.#chunkRatio = (CHUNK_SECTORS * layout.sectorLength) / layout.blockLength;
    this.#pages = new PageCache(storage);
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED, and those of opening a parent */
  static async open(storage: Storage, context: OpenContext): Promise<VhdxDisk> {
    const { dataWriteGuid } = await readHeader(storage);
    const regions = await readRegions(storage);
    const region = (id: string, name: string) => {
      const found = regions.get(id);
      if (!found) throw malformed(storage, 'VHDX', `it has no ${name}`);
      return found;
    };
    const table = region(Region.blockTable, 'block table');
    const metadata = await readMetadata(storage, region(Region.metadata, 'metadata'));
    const layout = toLayout(storage, metadata, table, dataWriteGuid);
    await using resources = new AsyncDisposableStack();
    const parent = layout.hasParent ? resources.use(await openParent(storage, metadata, context)) : undefined;
    return new VhdxDisk(storage, layout, parent, resources.move());
  }

  protected override async pieceAt(position: number): Promise<Piece> {
    const within = position % this.#blockLength;
    const index = (position - within) / this.#blockLength;
    const length = Math.min(this.#blockLength - within, this.size - position);
    const chunk = Math.floor(index / this.#chunkRatio);
    const { state, offset } = await this.#entry(index + chunk);
    switch (state) {
      case PayloadState.full:
        return this.#data(index, offset, within, length);
      case PayloadState.notPresent:
        return { kind: this.parent ? 'parent' : 'unallocated', length };
      case PayloadState.undefined:
      case PayloadState.unmapped:
        return { kind: 'unallocated', length };
      case PayloadState.zero:
        return { kind: 'zero', length };
      case PayloadState.partial:
        if (this.parent) return await this.#partial(index, chunk, offset, within, length);
    }
    throw malformed(this.storage, 'VHDX', `block ${index} is in state ${state}`);
  }

  #data(index: number, offset: number, within: number, length: number): Piece {
    if (offset < MIB || offset + within + length > this.storage.size) {
      throw malformed(this.storage, 'VHDX', `block ${index} does not lie inside the file`);
    }
    return { kind: 'data', storage: this.storage, offset: offset + within, length };
  }

  /** A block of which some sectors are the parent's. As many as are alike are one piece. */
  async #partial(
    index: number,
    chunk: number,
    offset: number,
    within: number,
    length: number,
  ): Promise<Piece> {
    const bitmap = await this.#entry((chunk + 1) * this.#chunkRatio + chunk);
    if (bitmap.state !== BITMAP_PRESENT || bitmap.offset < MIB || bitmap.offset + MIB > this.storage.size) {
      throw malformed(this.storage, 'VHDX', `the bitmap of chunk ${chunk} is not there`);
    }
    const start = ((index % this.#chunkRatio) * this.#blockLength) / this.blockSize;
    const first = start + Math.floor(within / this.blockSize);
    const end = start + Math.ceil((within + length) / this.blockSize);
    const sectors = await alikeSectors(this.#pages, bitmap.offset, first, end, 'least-significant');
    const alike = Math.min(length, (sectors.end - start) * this.blockSize - within);
    return sectors.isHere ? this.#data(index, offset, within, alike) : { kind: 'parent', length: alike };
  }

  /** An entry of the block allocation table: three bits of state, and megabytes from the start of the file. */
  async #entry(index: number): Promise<{ readonly state: number; readonly offset: number }> {
    const value = await this.#pages.uint64(this.#tableOffset + 8 * index);
    return { state: Number(value & 7n), offset: Number(value >> 20n) * MIB };
  }
}

interface Layout {
  readonly size: number;
  readonly blockLength: number;
  readonly sectorLength: number;
  readonly tableOffset: number;
  readonly hasParent: boolean;
  readonly dataWriteGuid: string;
}

function toLayout(
  storage: Storage,
  metadata: Metadata,
  table: { readonly offset: number; readonly length: number },
  dataWriteGuid: string,
): Layout {
  const item = (id: string, length: number, name: string) => {
    const bytes = metadata.get(id);
    if (!bytes || bytes.length < length)
      throw malformed(storage, 'VHDX', `its metadata do not tell its ${name}`);
    return bytes;
  };
  const parameters = item(Item.fileParameters, 8, 'parameters');
  const blockLength = parameters.readUInt32LE(0);
  const size = exact(item(Item.virtualDiskSize, 8, 'size').readBigUInt64LE(0));
  const sectorLength = item(Item.logicalSectorSize, 4, 'sector size').readUInt32LE(0);
  if (sectorLength !== 512 && sectorLength !== 4096) {
    throw malformed(storage, 'VHDX', `sectors of ${sectorLength} bytes`);
  }
  if (blockLength < MIB || blockLength > 256 * MIB || !Number.isInteger(Math.log2(blockLength))) {
    throw malformed(storage, 'VHDX', `blocks of ${blockLength} bytes`);
  }
  if (size === undefined || size === 0 || size > MAX_SIZE || size % sectorLength !== 0) {
    throw malformed(storage, 'VHDX', 'its size cannot be');
  }
  const hasParent = (parameters.readUInt32LE(4) & FileParameterFlag.hasParent) !== 0;
  const blocks = Math.ceil(size / blockLength);
  const ratio = (CHUNK_SECTORS * sectorLength) / blockLength;
  const chunks = Math.ceil(blocks / ratio);
  const entries = hasParent ? chunks * (ratio + 1) : blocks + Math.floor((blocks - 1) / ratio);
  if (entries * 8 > table.length)
    throw malformed(storage, 'VHDX', 'its block table is too short for its size');
  return { size, blockLength, sectorLength, tableOffset: table.offset, hasParent, dataWriteGuid };
}

/** The pairs of keys and values that say where a parent is. */
function parentLocator(storage: Storage, metadata: Metadata): ReadonlyMap<string, string> {
  const bytes = metadata.get(Item.parentLocator);
  const bad = () => malformed(storage, 'VHDX', 'what says where its parent is, is damaged');
  if (!bytes || bytes.length < 20 || bytes.length > MAX_LOCATOR) throw bad();
  const count = bytes.readUInt16LE(18);
  if (20 + 12 * count > bytes.length) throw bad();
  const pairs = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const at = 20 + 12 * i;
    const [key, value] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    const [keyEnd, valueEnd] = [key + bytes.readUInt16LE(at + 8), value + bytes.readUInt16LE(at + 10)];
    if (keyEnd > bytes.length || valueEnd > bytes.length) throw bad();
    pairs.set(bytes.toString('utf16le', key, keyEnd), bytes.toString('utf16le', value, valueEnd));
  }
  return pairs;
}

async function openParent(storage: Storage, metadata: Metadata, context: OpenContext): Promise<Disk> {
  const locator = parentLocator(storage, metadata);
  const relative = locator.get('relative_path');
  const name = relative ?? locator.get('absolute_win32_path') ?? locator.get('volume_path');
  if (name === undefined) throw malformed(storage, 'VHDX', 'it does not tell where its parent is');
  const linkages = [locator.get('parent_linkage'), locator.get('parent_linkage2')].map((guid) =>
    guid?.toLowerCase(),
  );
  const parent = await context.openImage(parentName(name, relative !== undefined), { writable: false });
  if (parent instanceof VhdxDisk && linkages.includes(parent.dataWriteGuid)) return parent;
  await parent[Symbol.asyncDispose]();
  throw new DiskError(
    'BAD_IMAGE',
    `${storage.name} is based on the VHDX image ${linkages[0]}, which ${JSON.stringify(name)} is not, or is no more.`,
  );
}
