import type { Disk } from '../disk.ts';
import { DiskError } from '../errors.ts';
import type { OpenContext } from '../open.ts';
import type { Storage } from '../storage/storage.ts';
import { exact, MappedDisk, malformed, type Piece, readBytes } from './mapped-disk.ts';
import { PageCache } from './page-cache.ts';
import { alikeSectors } from './sector-bitmap.ts';
import { parentName } from './windows-path.ts';

// Microsoft's "Virtual Hard Disk Image Format Specification", October 2006. Numbers are big-endian.

export const VHD_COOKIE = 'conectix';
const HEADER_COOKIE = 'cxsparse';
const FOOTER_LENGTH = 512;
const HEADER_LENGTH = 1024;
const SECTOR = 512;
const VERSION_MAJOR = 1;
const DiskType = { fixed: 2, dynamic: 3, differencing: 4 } as const;
const UNALLOCATED = 0xffff_ffff;
/** The format's own limit is 2 TiB, less a little. */
const MAX_SIZE = 2 ** 41;
const LOCATORS = 8;
const RELATIVE_LOCATOR = 0x5732_7275;
const ABSOLUTE_LOCATOR = 0x5732_6b75;
const MAX_LOCATOR = 4096;

interface Footer {
  readonly type: number;
  /** Bytes. */
  readonly size: number;
  readonly headerOffset: number;
  readonly uniqueId: string;
}

/** A VHD image: fixed, dynamic or differencing. */
export class VhdDisk extends MappedDisk {
  readonly format = 'vhd';
  readonly size: number;
  readonly blockSize = SECTOR;
  /** What images that are based on this one know it by. */
  readonly uniqueId: string;
  readonly #table: BlockTable | undefined;
  readonly #pages: PageCache;

  private constructor(
    storage: Storage,
    footer: Footer,
    table: BlockTable | undefined,
    parent: Disk | undefined,
    resources: AsyncDisposableStack,
  ) {
    super(storage, parent, resources);
    this.size = footer.size;
    this.uniqueId = footer.uniqueId;
    this.#table = table;
    this.#pages = new PageCache(storage);
  }

  /** @throws DiskError BAD_IMAGE, UNSUPPORTED, and those of opening a parent */
  static async open(storage: Storage, context: OpenContext): Promise<VhdDisk> {
    const footer = await readFooter(storage);
    await using resources = new AsyncDisposableStack();
    if (footer.type === DiskType.fixed) {
      if (footer.size > storage.size - FOOTER_LENGTH) {
        throw malformed(storage, 'VHD', `${footer.size} bytes of a fixed disk are not all there`);
      }
      return new VhdDisk(storage, footer, undefined, undefined, resources.move());
    }
    const header = await readBytes(storage, footer.headerOffset, HEADER_LENGTH);
    const table = toTable(storage, footer, header);
    let parent: Disk | undefined;
    if (table.isDifferencing) {
      parent = resources.use(await openParent(storage, header, context));
    }
    return new VhdDisk(storage, footer, table, parent, resources.move());
  }

  protected override async pieceAt(position: number): Promise<Piece> {
    const table = this.#table;
    if (!table)
      return { kind: 'data', storage: this.storage, offset: position, length: this.size - position };
    const within = position % table.blockLength;
    const length = Math.min(table.blockLength - within, this.size - position);
    const index = (position - within) / table.blockLength;
    const sector = await this.#pages.uint32BE(table.offset + 4 * index);
    if (sector === UNALLOCATED) return { kind: this.parent ? 'parent' : 'unallocated', length };
    const block = sector * SECTOR;
    const offset = block + table.bitmapLength + within;
    if (
      block + table.bitmapLength + Math.min(table.blockLength, this.size - position + within) >
      this.storage.size
    ) {
      throw malformed(this.storage, 'VHD', `block ${index} lies past the end of the file`);
    }
    if (!this.parent) return { kind: 'data', storage: this.storage, offset, length };
    // Sectors that are not here are the parent's. As many as are alike are one piece.
    const first = Math.floor(within / SECTOR);
    const end = Math.ceil((within + length) / SECTOR);
    const sectors = await alikeSectors(this.#pages, block, first, end, 'most-significant');
    const alike = Math.min(length, sectors.end * SECTOR - within);
    return sectors.isHere
      ? { kind: 'data', storage: this.storage, offset, length: alike }
      : { kind: 'parent', length: alike };
  }
}

/** The table that says where the blocks of a dynamic or differencing disk are. */
interface BlockTable {
  readonly offset: number;
  readonly blockLength: number;
  /** Bytes in front of each block that say which of its sectors are there. */
  readonly bitmapLength: number;
  readonly isDifferencing: boolean;
}

/** Whether the end of a file is the footer of a fixed disk, which nothing else marks. */
export async function isFixedVhd(storage: Storage): Promise<boolean> {
  if (storage.size < FOOTER_LENGTH || storage.size % SECTOR !== 0) return false;
  const bytes = await readBytes(storage, storage.size - FOOTER_LENGTH, FOOTER_LENGTH);
  return isFooter(bytes) && bytes.readUInt32BE(60) === DiskType.fixed;
}

function isFooter(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 8) === VHD_COOKIE && bytes.readUInt32BE(64) === checksum(bytes, 64);
}

/** The complement of the sum of the bytes but those of the checksum itself. */
function checksum(bytes: Buffer, at: number): number {
  let sum = 0;
  for (const [i, byte] of bytes.entries()) if (i < at || i >= at + 4) sum += byte;
  return ~sum >>> 0;
}

/** The footer at the end, or the copy of it at the start when that is damaged. */
async function readFooter(storage: Storage): Promise<Footer> {
  const bad = (what: string) => malformed(storage, 'VHD', what);
  let bytes = await readBytes(storage, Math.max(0, storage.size - FOOTER_LENGTH), FOOTER_LENGTH);
  if (!isFooter(bytes)) bytes = await readBytes(storage, 0, FOOTER_LENGTH);
  if (!isFooter(bytes)) throw bad('neither its footer nor the copy of it is whole');
  const version = bytes.readUInt32BE(12);
  if (version >>> 16 !== VERSION_MAJOR) {
    throw new DiskError(
      'UNSUPPORTED',
      `${storage.name}: VHD images of version ${version >>> 16} are not known.`,
    );
  }
  const type = bytes.readUInt32BE(60);
  if (!Object.values<number>(DiskType).includes(type)) {
    throw new DiskError('UNSUPPORTED', `${storage.name}: VHD images of type ${type} are not known.`);
  }
  const size = exact(bytes.readBigUInt64BE(48));
  if (size === undefined || size > MAX_SIZE || size % SECTOR !== 0) throw bad('its size cannot be');
  const headerOffset = type === DiskType.fixed ? 0 : exact(bytes.readBigUInt64BE(16));
  if (headerOffset === undefined || headerOffset > storage.size - HEADER_LENGTH) {
    if (type !== DiskType.fixed) throw bad('its header lies past the end of the file');
  }
  return { type, size, headerOffset: headerOffset ?? 0, uniqueId: bytes.toString('hex', 68, 84) };
}

function toTable(storage: Storage, { type, size }: Footer, header: Buffer): BlockTable {
  const bad = (what: string) => malformed(storage, 'VHD', what);
  if (header.toString('latin1', 0, 8) !== HEADER_COOKIE) throw bad('its dynamic header is missing');
  if (header.readUInt32BE(36) !== checksum(header, 36)) throw bad('its dynamic header is damaged');
  const offset = exact(header.readBigUInt64BE(16));
  const entries = header.readUInt32BE(28);
  const blockLength = header.readUInt32BE(32);
  if (blockLength < SECTOR || !Number.isInteger(Math.log2(blockLength))) {
    throw bad(`blocks of ${blockLength} bytes`);
  }
  if (entries < Math.ceil(size / blockLength)) throw bad(`${entries} blocks are fewer than the disk has`);
  if (
    offset === undefined ||
    offset % SECTOR !== 0 ||
    offset + 4 * Math.ceil(size / blockLength) > storage.size
  ) {
    throw bad('its table lies past the end of the file');
  }
  const bitmapLength = Math.ceil(blockLength / SECTOR / 8 / SECTOR) * SECTOR;
  return { offset, blockLength, bitmapLength, isDifferencing: type === DiskType.differencing };
}

async function openParent(storage: Storage, header: Buffer, context: OpenContext): Promise<Disk> {
  const names = new Map<number, string>();
  for (let i = 0; i < LOCATORS; i++) {
    const at = 576 + 24 * i;
    const [platform, length] = [header.readUInt32BE(at), header.readUInt32BE(at + 8)];
    const offset = exact(header.readBigUInt64BE(at + 16));
    if (platform !== RELATIVE_LOCATOR && platform !== ABSOLUTE_LOCATOR) continue;
    if (offset === undefined || length > MAX_LOCATOR || offset + length > storage.size) {
      throw malformed(storage, 'VHD', 'the name of its parent lies past the end of the file');
    }
    names.set(platform, (await readBytes(storage, offset, length)).toString('utf16le'));
  }
  const unicode = Buffer.from(header.subarray(64, 576)).swap16().toString('utf16le').replace(/\0.*$/s, '');
  const relative = names.get(RELATIVE_LOCATOR);
  const name = relative ?? names.get(ABSOLUTE_LOCATOR) ?? unicode;
  const parent = await context.openImage(parentName(name, relative !== undefined), { writable: false });
  const uniqueId = header.toString('hex', 40, 56);
  if (parent instanceof VhdDisk && parent.uniqueId === uniqueId) return parent;
  await parent[Symbol.asyncDispose]();
  throw new DiskError(
    'BAD_IMAGE',
    `${storage.name} is based on the VHD image ${uniqueId}, which ${JSON.stringify(name)} is not.`,
  );
}
