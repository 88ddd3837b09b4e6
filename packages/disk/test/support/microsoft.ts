import { crc32c } from '@tsvmm/base';

const KIB = 1024;
const MIB = 2 ** 20;

/** Makes checksums right again, so that changes get further. */
export function seal(bytes: Buffer): void {
  for (const [at, length] of [
    [64 * 1024, 4096],
    [128 * 1024, 4096],
    [192 * 1024, 65_536],
    [256 * 1024, 65_536],
  ] as const) {
    if (at + length > bytes.length || !/^(head|regi)$/.test(bytes.toString('latin1', at, at + 4))) continue;
    bytes.writeUInt32LE(0, at + 4);
    bytes.writeUInt32LE(~crc32c(0xffff_ffff, bytes, at, at + length) >>> 0, at + 4);
  }
  sealVhd(bytes, 0, 512, 64, 'conectix');
  sealVhd(bytes, 512, 1024, 36, 'cxsparse');
  sealVhd(bytes, bytes.length - 512, 512, 64, 'conectix');
}

function sealVhd(bytes: Buffer, start: number, length: number, checksum: number, cookie: string): void {
  if (start < 0 || start + length > bytes.length || bytes.toString('latin1', start, start + 8) !== cookie)
    return;
  bytes.writeUInt32BE(0, start + checksum);
  const sum = bytes.subarray(start, start + length).reduce((total, byte) => total + byte, 0);
  bytes.writeUInt32BE(~sum >>> 0, start + checksum);
}

/** A differencing image by Microsoft's specification, that has some sectors of the first block. */
export function differencingVhd(
  parent: Buffer,
  name: string,
  sectors: readonly number[],
  sector: Buffer,
): Buffer {
  const footer = Buffer.from(parent.subarray(parent.length - 512));
  const header = Buffer.from(parent.subarray(512, 1536));
  const uniqueId = footer.subarray(68, 84);
  const blockLength = header.readUInt32BE(32);
  const tableLength = Math.ceil((header.readUInt32BE(28) * 4) / 512) * 512;
  const [tableOffset, locatorOffset] = [1536, 1536 + tableLength];
  const blockOffset = locatorOffset + 512;
  const bitmapLength = Math.ceil(blockLength / 512 / 8 / 512) * 512;
  header.set(uniqueId, 40);
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  const locator = Buffer.from(name, 'utf16le');
  header.writeUInt32BE(0x57327275, 576);
  header.writeUInt32BE(1, 580);
  header.writeUInt32BE(locator.length, 584);
  header.writeBigUInt64BE(BigInt(locatorOffset), 592);
  footer.fill(9, 68, 84);
  footer.writeUInt32BE(4, 60);
  footer.writeBigUInt64BE(512n, 16);
  const image = Buffer.alloc(blockOffset + bitmapLength + blockLength + 512);
  image.set(footer, 0);
  image.set(header, 512);
  image.fill(0xff, tableOffset, tableOffset + tableLength);
  image.writeUInt32BE(blockOffset / 512, tableOffset);
  image.set(locator, locatorOffset);
  for (const index of sectors) {
    const at = blockOffset + (index >> 3);
    image[at] = (image[at] ?? 0) | (0x80 >> (index & 7));
    image.set(sector, blockOffset + bitmapLength + index * 512);
  }
  image.set(footer, image.length - 512);
  seal(image);
  return image;
}

/** GUIDs as files have them. */
const VHDX_REGIONS = {
  blockTable: '6677c22d23f600429d64115e9bfd4a08',
  metadata: '06a27c8b90479a4bb8fe575f050f886e',
};
const VHDX_ITEMS = {
  fileParameters: '3767a1ca36fa434db3b633f0aa44e76b',
  virtualDiskSize: '2442a52f1bcd7648b2115dbed83bf4b8',
  logicalSectorSize: '1dbf41816fa90947ba47f233a8faab5f',
  physicalSectorSize: 'c748a3cd5d4471449cc9e9885251c556',
  page83Data: 'ab12cabee6b2234593efc309e000c746',
  parentLocator: '2d5fd3a80bb34d45abf7d3d84834ab0c',
};
const VHDX_LOCATOR = 'b7ef4ab09ed1814ab78925b8e9445913';
/** Where this builder puts what may lie anywhere, as QEMU does. */
const METADATA = 2 * MIB;
const BLOCK_TABLE = 3 * MIB;
const BITMAPS = 4 * MIB;
const CHUNK_SECTORS = 2 ** 23;

/** The payload states of [MS-VHDX] 2.5.1.1. */
export type VhdxBlock =
  | { readonly state: 'not-present' | 'undefined' | 'zero' | 'unmapped' }
  | { readonly state: 'full'; readonly bytes: Uint8Array }
  /** Only these sectors, counted from the start of the block, are here. */
  | { readonly state: 'partial'; readonly bytes: Uint8Array; readonly sectors: readonly number[] };

const VHDX_STATES = { 'not-present': 0, undefined: 1, zero: 2, unmapped: 3, full: 6, partial: 7 } as const;

/** What {@link vhdxImage} makes. */
export interface VhdxDescription {
  /** Bytes. */
  readonly size: number;
  /** One for each MiB. */
  readonly blocks: readonly VhdxBlock[];
  /** 512 unless given. */
  readonly sectorLength?: 512 | 4096;
  /** DataWriteGuid: sixteen times this byte. */
  readonly id: number;
  /** What it is based on: keys and values of the locator. */
  readonly parent?: Readonly<Record<string, string>>;
}

/** A VHDX image by [MS-VHDX], with blocks of 1 MiB in one chunk. */
export function vhdxImage({ size, blocks, sectorLength = 512, id, parent }: VhdxDescription): Buffer {
  const ratio = (CHUNK_SECTORS * sectorLength) / MIB;
  const pieces: (readonly [number, Uint8Array])[] = [
    [0, Buffer.from('vhdxfile')],
    [64 * KIB, vhdxHeader(1, id)],
    [128 * KIB, vhdxHeader(2, id)],
    [192 * KIB, vhdxRegions()],
    [256 * KIB, vhdxRegions()],
    ...vhdxMetadata(size, sectorLength, parent),
  ];
  const table = Buffer.alloc(MIB);
  const bitmap = Buffer.alloc(MIB);
  let end = BITMAPS + MIB;
  for (const [index, block] of blocks.entries()) {
    const hasBytes = block.state === 'full' || block.state === 'partial';
    table.writeBigUInt64LE(BigInt((hasBytes ? end : 0) + VHDX_STATES[block.state]), 8 * index);
    if (!hasBytes) continue;
    pieces.push([end, block.bytes]);
    end += MIB;
    if (block.state !== 'partial') continue;
    for (const sector of block.sectors) {
      const bit = (index * MIB) / sectorLength + sector;
      bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  if (parent) table.writeBigUInt64LE(BigInt(BITMAPS + VHDX_STATES.full), 8 * ratio);
  pieces.push([BLOCK_TABLE, table], [BITMAPS, bitmap]);
  const image = Buffer.alloc(end);
  for (const [at, bytes] of pieces) image.set(bytes, at);
  seal(image);
  return image;
}

/** [MS-VHDX] 2.2.2: the log is empty. */
function vhdxHeader(sequence: number, id: number): Buffer {
  const header = Buffer.alloc(4 * KIB);
  header.write('head');
  header.writeBigUInt64LE(BigInt(sequence), 8);
  header.fill(id, 32, 48);
  header.writeUInt16LE(1, 66);
  header.writeUInt32LE(MIB, 68);
  header.writeBigUInt64LE(BigInt(MIB), 72);
  return header;
}

/** [MS-VHDX] 2.2.3. */
function vhdxRegions(): Buffer {
  const regions = Buffer.alloc(64 * KIB);
  regions.write('regi');
  regions.writeUInt32LE(2, 8);
  const entries = [
    { guid: VHDX_REGIONS.blockTable, offset: BLOCK_TABLE },
    { guid: VHDX_REGIONS.metadata, offset: METADATA },
  ];
  for (const [i, { guid, offset }] of entries.entries()) {
    const at = 16 + 32 * i;
    regions.write(guid, at, 'hex');
    regions.writeBigUInt64LE(BigInt(offset), at + 16);
    regions.writeUInt32LE(MIB, at + 24);
    regions.writeUInt32LE(1, at + 28);
  }
  return regions;
}

/** [MS-VHDX] 2.6: a table, and the items behind it. */
function vhdxMetadata(
  size: number,
  sectorLength: number,
  parent: Readonly<Record<string, string>> | undefined,
): readonly (readonly [number, Uint8Array])[] {
  const parameters = Buffer.alloc(8);
  parameters.writeUInt32LE(MIB, 0);
  parameters.writeUInt32LE(parent ? 2 : 0, 4);
  const sizeItem = Buffer.alloc(8);
  sizeItem.writeBigUInt64LE(BigInt(size));
  const sectorItem = Buffer.alloc(4);
  sectorItem.writeUInt32LE(sectorLength);
  const items: (readonly [string, Buffer])[] = [
    [VHDX_ITEMS.fileParameters, parameters],
    [VHDX_ITEMS.virtualDiskSize, sizeItem],
    [VHDX_ITEMS.logicalSectorSize, sectorItem],
    [VHDX_ITEMS.physicalSectorSize, sectorItem],
    [VHDX_ITEMS.page83Data, Buffer.alloc(16, 5)],
  ];
  if (parent) items.push([VHDX_ITEMS.parentLocator, vhdxLocator(parent)]);
  const table = Buffer.alloc(KIB);
  table.write('metadata');
  table.writeUInt16LE(items.length, 10);
  let offset = 64 * KIB;
  for (const [i, [guid, bytes]] of items.entries()) {
    const at = 32 + 32 * i;
    table.write(guid, at, 'hex');
    table.writeUInt32LE(offset, at + 16);
    table.writeUInt32LE(bytes.length, at + 20);
    table.writeUInt32LE(4, at + 24);
    offset += bytes.length;
  }
  return [
    [METADATA, table],
    [METADATA + 64 * KIB, Buffer.concat(items.map(([, bytes]) => bytes))],
  ];
}

/** [MS-VHDX] 2.6.2.6. */
function vhdxLocator(pairs: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(pairs).map((pair) => pair.map((text) => Buffer.from(text, 'utf16le')));
  const head = Buffer.alloc(20 + 12 * entries.length);
  head.write(VHDX_LOCATOR, 'hex');
  head.writeUInt16LE(entries.length, 18);
  let offset = head.length;
  for (const [i, texts] of entries.entries()) {
    for (const [j, text] of texts.entries()) {
      head.writeUInt32LE(offset, 20 + 12 * i + 4 * j);
      head.writeUInt16LE(text.length, 28 + 12 * i + 2 * j);
      offset += text.length;
    }
  }
  return Buffer.concat([head, ...entries.flat()]);
}
