import { crc32c } from '@tsvmm/base';
import { DiskError } from '../errors.ts';
import type { Storage } from '../storage/storage.ts';
import { exact, malformed, readBytes } from './mapped-disk.ts';

const KIB = 1024;
const MIB = 2 ** 20;
export const VHDX_SIGNATURE = 'vhdxfile';
const HEADER_OFFSETS = [64 * KIB, 128 * KIB];
const HEADER_LENGTH = 4 * KIB;
const REGION_TABLE_OFFSETS = [192 * KIB, 256 * KIB];
const REGION_TABLE_LENGTH = 64 * KIB;
const MAX_REGIONS = 2047;
const MAX_ITEMS = 2047;
const METADATA_TABLE_LENGTH = 64 * KIB;
const VERSION = 1;
const ZERO_GUID = '{00000000-0000-0000-0000-000000000000}';

/** The regions of a file, by their GUIDs. */
export const Region = {
  blockTable: '{2dc27766-f623-4200-9d64-115e9bfd4a08}',
  metadata: '{8b7ca206-4790-4b9a-b8fe-575f050f886e}',
} as const;

/** Items of the metadata, by their GUIDs. */
export const Item = {
  fileParameters: '{caa16737-fa36-4d43-b3b6-33f0aa44e76b}',
  virtualDiskSize: '{2fa54224-cd1b-4876-b211-5dbed83bf4b8}',
  logicalSectorSize: '{8141bf1d-a96f-4709-ba47-f233a8faab5f}',
  physicalSectorSize: '{cda348c7-445d-4471-9cc9-e9885251c556}',
  page83Data: '{beca12ab-b2e6-4523-93ef-c309e000c746}',
  parentLocator: '{a8d35f2d-b30b-454d-abf7-d3d84834ab0c}',
} as const;

export const FileParameterFlag = { hasParent: 2 } as const;
const ITEM_REQUIRED = 4;

/** The contents of the items that are known, by their GUIDs. */
export type Metadata = ReadonlyMap<string, Buffer>;

interface FileRegion {
  readonly offset: number;
  readonly length: number;
}

/** A GUID as it is written, in lower case: three numbers and eight bytes. */
function guid(bytes: Buffer, at: number): string {
  const parts = [
    bytes.readUInt32LE(at).toString(16).padStart(8, '0'),
    bytes
      .readUInt16LE(at + 4)
      .toString(16)
      .padStart(4, '0'),
    bytes
      .readUInt16LE(at + 6)
      .toString(16)
      .padStart(4, '0'),
    bytes.toString('hex', at + 8, at + 10),
    bytes.toString('hex', at + 10, at + 16),
  ];
  return `{${parts.join('-')}}`;
}

/** Whether a structure has its signature, and a CRC-32C over all of it with zero in place of the sum. */
function isWhole(bytes: Buffer, signature: string): boolean {
  if (bytes.toString('latin1', 0, 4) !== signature) return false;
  const sum = bytes.readUInt32LE(4);
  const copy = Buffer.from(bytes);
  copy.writeUInt32LE(0, 4);
  return ~crc32c(0xffff_ffff, copy) >>> 0 === sum;
}

/** The one of the two headers that is in force. */
export async function readHeader(storage: Storage): Promise<{ readonly dataWriteGuid: string }> {
  const headers: Buffer[] = [];
  for (const offset of HEADER_OFFSETS) {
    const bytes = await readBytes(storage, offset, HEADER_LENGTH);
    if (isWhole(bytes, 'head')) headers.push(bytes);
  }
  headers.sort((a, b) => (a.readBigUInt64LE(8) < b.readBigUInt64LE(8) ? 1 : -1));
  const [header] = headers;
  if (!header) throw malformed(storage, 'VHDX', 'none of its headers is whole');
  const version = header.readUInt16LE(66);
  if (version !== VERSION) {
    throw new DiskError('UNSUPPORTED', `${storage.name}: VHDX images of version ${version} are not known.`);
  }
  if (guid(header, 48) !== ZERO_GUID) {
    throw new DiskError(
      'UNSUPPORTED',
      `${storage.name} was not closed: its log has to be replayed. Open it once where it was made, or run: qemu-img check -r all.`,
    );
  }
  return { dataWriteGuid: guid(header, 32) };
}

/** Where the regions are; those that nobody knows have to be ones that may be left out. */
export async function readRegions(storage: Storage): Promise<ReadonlyMap<string, FileRegion>> {
  let table: Buffer | undefined;
  for (const offset of REGION_TABLE_OFFSETS) {
    const bytes = await readBytes(storage, offset, REGION_TABLE_LENGTH);
    if (!table && isWhole(bytes, 'regi')) table = bytes;
  }
  if (!table) throw malformed(storage, 'VHDX', 'none of its region tables is whole');
  const count = table.readUInt32LE(8);
  if (count > MAX_REGIONS) throw malformed(storage, 'VHDX', `${count} regions`);
  const regions = new Map<string, FileRegion>();
  for (let i = 0; i < count; i++) {
    const at = 16 + 32 * i;
    const id = guid(table, at);
    const offset = exact(table.readBigUInt64LE(at + 16));
    const length = table.readUInt32LE(at + 24);
    const isKnown = Object.values<string>(Region).includes(id);
    if (!isKnown && (table.readUInt32LE(at + 28) & 1) !== 0) {
      throw new DiskError('UNSUPPORTED', `${storage.name} needs the VHDX region ${id}, which is not known.`);
    }
    if (offset === undefined || offset < MIB || offset % MIB !== 0 || offset + length > storage.size) {
      throw malformed(storage, 'VHDX', `the region ${id} does not lie inside the file`);
    }
    if (regions.has(id)) throw malformed(storage, 'VHDX', `the region ${id} is there twice`);
    regions.set(id, { offset, length });
  }
  return regions;
}

export async function readMetadata(storage: Storage, region: FileRegion): Promise<Metadata> {
  const bad = (what: string) => malformed(storage, 'VHDX', what);
  if (region.length < METADATA_TABLE_LENGTH) throw bad('its metadata are too short');
  const table = await readBytes(storage, region.offset, METADATA_TABLE_LENGTH);
  const count = table.readUInt16LE(10);
  if (table.toString('latin1', 0, 8) !== 'metadata' || count > MAX_ITEMS)
    throw bad('its metadata are damaged');
  const items = new Map<string, Buffer>();
  for (let i = 0; i < count; i++) {
    const at = 32 + 32 * i;
    const id = guid(table, at);
    const [offset, length, flags] = [16, 20, 24].map((field) => table.readUInt32LE(at + field));
    if (!Object.values<string>(Item).includes(id)) {
      if (((flags ?? 0) & ITEM_REQUIRED) === 0) continue;
      throw new DiskError(
        'UNSUPPORTED',
        `${storage.name} needs the VHDX metadata ${id}, which are not known.`,
      );
    }
    if (offset === undefined || length === undefined || length > MIB || offset + length > region.length) {
      throw bad(`the metadata ${id} do not lie inside their region`);
    }
    if (offset < METADATA_TABLE_LENGTH && length > 0) throw bad(`the metadata ${id} overlap their table`);
    if (items.has(id)) throw bad(`the metadata ${id} are there twice`);
    items.set(id, await readBytes(storage, region.offset + offset, length));
  }
  return items;
}
