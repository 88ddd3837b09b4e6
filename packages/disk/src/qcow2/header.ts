import { DiskError } from '../errors.ts';
import { readU64, viewOf, writeU64 } from './big-endian.ts';
import {
  Autoclear,
  Compatible,
  Extension,
  featureNameTable,
  Incompatible,
  incompatibleName,
  KNOWN_INCOMPATIBLE,
} from './features.ts';

/** 'QFI\xfb' */
export const QCOW2_MAGIC = 0x5146_49fb;

/** Byte offsets of the header's fields (QEMU's docs/interop/qcow2.txt). */
export const HeaderField = {
  clusterBits: 20,
  size: 24,
  l1Size: 36,
  l1TableOffset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
} as const;

const V2_LENGTH = 72;
const V3_MINIMUM = 104;
const V3_LENGTH = 112;
const MAX_BACKING_NAME = 1023;
/** QEMU's limits; a table beyond them is an attack rather than a disk. */
const MAX_L1_BYTES = 32 * 2 ** 20;
const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
const MAX_SNAPSHOTS = 65536;

export type CompressionType = 'zlib' | 'zstd';
const COMPRESSION_TYPES: readonly CompressionType[] = ['zlib', 'zstd'];

/** A header extension that has no meaning here. It is kept. */
export interface UnknownExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The header of a qcow2 image, with what the extensions say. Sizes and offsets are bytes. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  size: number;
  l1Size: number;
  l1TableOffset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  /** log2 of the bits of a refcount. */
  readonly refcountOrder: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: number;
  incompatible: number;
  readonly compatible: number;
  autoclear: number;
  readonly compressionType: CompressionType;
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  /** Where the directory of persistent bitmaps lies, when it is valid. */
  readonly bitmaps:
    | { readonly count: number; readonly directoryOffset: number; readonly directorySize: number }
    | undefined;
}

function bad(name: string, what: string): DiskError {
  return new DiskError('BAD_IMAGE', `${name} is no well-formed qcow2 image: ${what}.`);
}

/**
 * Reads a header.
 * @param bytes the start of the image: its first cluster, or as much as there is of it
 * @throws DiskError BAD_IMAGE, UNSUPPORTED
 */
export function parseHeader(bytes: Uint8Array, name: string): Qcow2Header {
  const view = viewOf(bytes);
  if (bytes.length < 4 || view.getUint32(0) !== QCOW2_MAGIC) throw bad(name, 'the magic is missing');
  if (bytes.length < V2_LENGTH) throw bad(name, 'the header is cut off');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) {
    throw new DiskError(
      'UNSUPPORTED',
      `${name} is a qcow image of version ${version}; versions 2 and 3 are known.`,
    );
  }
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw bad(name, `clusters of 2^${clusterBits} bytes`);
  const clusterSize = 2 ** clusterBits;
  const first = bytes.subarray(0, clusterSize);
  const isV3 = version === 3;
  if (isV3 && bytes.length < V3_MINIMUM) throw bad(name, 'the header is cut off');
  const headerLength = isV3 ? view.getUint32(100) : V2_LENGTH;
  if (headerLength < (isV3 ? V3_MINIMUM : V2_LENGTH) || headerLength > first.length) {
    throw bad(name, `a header of ${headerLength} bytes`);
  }
  const extensions = parseExtensions(first.subarray(headerLength), name);
  const incompatibleHigh = isV3 ? view.getUint32(HeaderField.incompatible) : 0;
  const incompatible = isV3 ? view.getUint32(HeaderField.incompatible + 4) : 0;
  refuseUnknown(incompatibleHigh, incompatible, extensions.get(Extension.featureNames), name);
  const method = view.getUint32(32);
  if (method !== 0) {
    const known = ['', 'AES', 'LUKS'][method] ?? `method ${method}`;
    throw new DiskError('UNSUPPORTED', `${name} is encrypted (${known}), which is not supported.`);
  }
  const refcountOrder = isV3 ? view.getUint32(96) : 4;
  if (refcountOrder > 6) throw bad(name, `refcounts of 2^${refcountOrder} bits`);
  const hasExtendedL2 = (incompatible & Incompatible.extendedL2) !== 0;
  if (hasExtendedL2 && clusterBits < 14)
    throw bad(name, 'extended L2 entries need clusters of at least 16 KiB');
  const compression = isV3 && headerLength > V3_MINIMUM ? (bytes[V3_MINIMUM] ?? 0) : 0;
  const compressionType = COMPRESSION_TYPES[compression];
  if (!compressionType) {
    throw new DiskError(
      'UNSUPPORTED',
      `${name} uses compression type ${compression}; zlib and zstd are known.`,
    );
  }
  if ((compression !== 0) !== ((incompatible & Incompatible.compressionType) !== 0)) {
    throw bad(name, 'the compression type and its feature bit disagree');
  }
  const header: Qcow2Header = {
    version,
    clusterBits,
    size: readU64(view, HeaderField.size),
    l1Size: view.getUint32(HeaderField.l1Size),
    l1TableOffset: readU64(view, HeaderField.l1TableOffset),
    refcountTableOffset: readU64(view, HeaderField.refcountTableOffset),
    refcountTableClusters: view.getUint32(HeaderField.refcountTableClusters),
    refcountOrder,
    snapshotCount: view.getUint32(60),
    snapshotsOffset: readU64(view, 64),
    incompatible,
    compatible: isV3 ? view.getUint32(HeaderField.compatible + 4) : 0,
    autoclear: isV3 ? view.getUint32(HeaderField.autoclear + 4) : 0,
    compressionType,
    backingFile: readBackingFile(view, first, name),
    backingFormat: readText(extensions.get(Extension.backingFormat)),
    dataFile: readText(extensions.get(Extension.externalData)),
    bitmaps: undefined,
  };
  checkTables(header, name);
  const bitmaps = extensions.get(Extension.bitmaps);
  if (!bitmaps || (header.autoclear & Autoclear.bitmaps) === 0) return header;
  if (bitmaps.length < 24) throw bad(name, 'the bitmaps extension is too short');
  const at = viewOf(bitmaps);
  return {
    ...header,
    bitmaps: { count: at.getUint32(0), directorySize: readU64(at, 8), directoryOffset: readU64(at, 16) },
  };
}

function parseExtensions(bytes: Uint8Array, name: string): ReadonlyMap<number, Uint8Array> {
  const view = viewOf(bytes);
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at + 8 <= bytes.length; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === Extension.end) break;
    if (length > bytes.length - at - 8)
      throw bad(name, `header extension ${type.toString(16)} is ${length} bytes long`);
    if (type === Extension.encryptionHeader) {
      throw new DiskError('UNSUPPORTED', `${name} is encrypted (LUKS), which is not supported.`);
    }
    found.set(type, bytes.slice(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

function refuseUnknown(high: number, low: number, names: Uint8Array | undefined, image: string): void {
  for (let bit = 0; bit < 64; bit++) {
    const isSet = bit < 32 ? (low >>> bit) & 1 : (high >>> (bit - 32)) & 1;
    if (isSet && (bit >= 32 || ((KNOWN_INCOMPATIBLE >>> bit) & 1) === 0)) {
      throw new DiskError(
        'UNSUPPORTED',
        `${image} uses ${incompatibleName(names, bit)}, which this version does not know.`,
      );
    }
  }
}

function readBackingFile(view: DataView, first: Uint8Array, name: string): string | undefined {
  const offset = readU64(view, 8);
  const length = view.getUint32(16);
  if (offset === 0) return undefined;
  if (length > MAX_BACKING_NAME || offset > first.length - length) {
    throw bad(name, 'the name of the backing file does not lie in the first cluster');
  }
  return length === 0 ? undefined : readText(first.subarray(offset, offset + length));
}

function readText(bytes: Uint8Array | undefined): string | undefined {
  return bytes && bytes.length > 0 ? new TextDecoder().decode(bytes) : undefined;
}

function checkTables(header: Qcow2Header, name: string): void {
  const clusterSize = 2 ** header.clusterBits;
  const tables: readonly (readonly [string, number])[] = [
    ['L1 table', header.l1TableOffset],
    ['refcount table', header.refcountTableOffset],
    ['snapshot table', header.snapshotsOffset],
  ];
  for (const [what, offset] of tables) {
    if (offset % clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER) {
      throw bad(name, `the ${what} lies at offset ${offset}`);
    }
  }
  if (header.size > Number.MAX_SAFE_INTEGER) throw bad(name, `a disk of ${header.size} bytes`);
  if (header.l1Size * 8 > MAX_L1_BYTES) throw bad(name, `an L1 table of ${header.l1Size} entries`);
  if (header.l1Size < requiredL1Size(header, header.size)) {
    throw bad(name, `the L1 table of ${header.l1Size} entries is too small for the disk`);
  }
  if (header.l1Size > 0 && header.l1TableOffset === 0) throw bad(name, 'there is no L1 table');
  if (header.refcountTableClusters === 0 || header.refcountTableOffset === 0) {
    throw bad(name, 'there is no refcount table');
  }
  if (header.refcountTableClusters * clusterSize > Math.max(MAX_REFCOUNT_TABLE_BYTES, clusterSize)) {
    throw bad(name, `a refcount table of ${header.refcountTableClusters} clusters`);
  }
  if (header.snapshotCount > MAX_SNAPSHOTS) throw bad(name, `${header.snapshotCount} snapshots`);
}

/** Bytes of an L2 entry. */
export function l2EntrySize(header: { readonly incompatible: number }): number {
  return (header.incompatible & Incompatible.extendedL2) !== 0 ? 16 : 8;
}

/** L1 entries that a disk of `size` bytes needs. */
export function requiredL1Size(
  header: { readonly clusterBits: number; readonly incompatible: number },
  size: number,
): number {
  const clusterSize = 2 ** header.clusterBits;
  return Math.ceil(size / (clusterSize * (clusterSize / l2EntrySize(header))));
}

/** The largest disk an L1 table can describe, in bytes. */
export function largestSize(header: { readonly clusterBits: number; readonly incompatible: number }): number {
  const clusterSize = 2 ** header.clusterBits;
  return Math.min((MAX_L1_BYTES / 8) * clusterSize * (clusterSize / l2EntrySize(header)), 2 ** 53 - 2 ** 22);
}

/**
 * The first cluster of a new image.
 * @throws DiskError BAD_OPTION when the names in it do not fit
 */
export function serializeHeader(header: Qcow2Header): Uint8Array {
  const clusterSize = 2 ** header.clusterBits;
  const bytes = new Uint8Array(clusterSize);
  const view = viewOf(bytes);
  const isV3 = header.version === 3;
  view.setUint32(0, QCOW2_MAGIC);
  view.setUint32(4, header.version);
  view.setUint32(20, header.clusterBits);
  writeU64(view, HeaderField.size, header.size);
  view.setUint32(HeaderField.l1Size, header.l1Size);
  writeU64(view, HeaderField.l1TableOffset, header.l1TableOffset);
  writeU64(view, HeaderField.refcountTableOffset, header.refcountTableOffset);
  view.setUint32(HeaderField.refcountTableClusters, header.refcountTableClusters);
  let at = V2_LENGTH;
  if (isV3) {
    writeU64(view, HeaderField.incompatible, header.incompatible);
    writeU64(view, HeaderField.compatible, header.compatible);
    writeU64(view, HeaderField.autoclear, header.autoclear);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, V3_LENGTH);
    bytes[V3_MINIMUM] = COMPRESSION_TYPES.indexOf(header.compressionType);
    at = V3_LENGTH;
  }
  const text = new TextEncoder();
  const put = (data: Uint8Array, advance: number) => {
    if (at + advance > clusterSize) {
      throw new DiskError('BAD_OPTION', 'The names do not fit into the header: choose larger clusters.');
    }
    bytes.set(data, at);
    at += advance;
  };
  const extension = (type: number, data: Uint8Array) => {
    const head = new Uint8Array(8);
    viewOf(head).setUint32(0, type);
    viewOf(head).setUint32(4, data.length);
    put(head, 8);
    put(data, Math.ceil(data.length / 8) * 8);
  };
  if (header.backingFormat) extension(Extension.backingFormat, text.encode(header.backingFormat));
  if (header.dataFile) extension(Extension.externalData, text.encode(header.dataFile));
  const backing = text.encode(header.backingFile ?? '');
  if (backing.length > MAX_BACKING_NAME) {
    throw new DiskError('BAD_OPTION', `The name of a backing file has at most ${MAX_BACKING_NAME} bytes.`);
  }
  const names = featureNameTable();
  if (isV3 && at + names.length + 16 + backing.length <= clusterSize)
    extension(Extension.featureNames, names);
  put(new Uint8Array(8), 8);
  if (backing.length > 0) {
    writeU64(view, 8, at);
    view.setUint32(16, backing.length);
    put(backing, backing.length);
  }
  return bytes;
}

export function hasLazyRefcounts(header: Qcow2Header): boolean {
  return (header.compatible & Compatible.lazyRefcounts) !== 0;
}

/** Whether the data file alone reads as the disk does, so that it has to hold the zeroes too. */
export function isRawData(header: Qcow2Header): boolean {
  return (
    (header.incompatible & Incompatible.externalData) !== 0 &&
    (header.autoclear & Autoclear.rawExternalData) !== 0
  );
}
