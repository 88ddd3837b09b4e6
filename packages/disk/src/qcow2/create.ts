import { isWholeNumber } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { viewOf, writeU64 } from './big-endian.ts';
import { Autoclear, Compatible, Incompatible } from './features.ts';
import {
  type CompressionType,
  largestSize,
  type Qcow2Header,
  requiredL1Size,
  serializeHeader,
} from './header.ts';
import { writeRefcount } from './refcounts.ts';

/** What a new qcow2 image is like. What is not given is as `qemu-img create` has it. */
export interface Qcow2Format {
  /** Bytes of the disk. */
  readonly size: number;
  /** 3 unless given; 2 is for programs from before 2012. */
  readonly version?: 2 | 3;
  /** Bytes, a power of two from 512 to 2 MiB; 65536 unless given. */
  readonly clusterSize?: number;
  /** A power of two from 1 to 64; 16 unless given. Below 2, compressed clusters cannot share a host cluster. */
  readonly refcountBits?: number;
  /** Subclusters: allocates in units of a 32nd of a cluster, which has to be at least 16 KiB; false unless given. */
  readonly extendedL2?: boolean;
  /** 'zlib' unless given. */
  readonly compressionType?: CompressionType;
  /** Refcounts are written when the image is closed, and counted anew after a crash; false unless given. */
  readonly lazyRefcounts?: boolean;
  /** The image that is read where this one has nothing: its path, relative to the folder of this one, and its format. */
  readonly backing?: { readonly file: string; readonly format: string };
  /** The file that holds the data, relative to the folder of the image. `isRaw` keeps it readable as a raw image. */
  readonly dataFile?: { readonly file: string; readonly isRaw?: boolean };
}

function option(condition: boolean, message: string): void {
  if (!condition) throw new DiskError('BAD_OPTION', message);
}

/**
 * The first clusters of an empty qcow2 image, which are all that it has.
 * @throws DiskError BAD_OPTION
 */
export function encodeEmptyQcow2(format: Qcow2Format): Uint8Array {
  const { version = 3, clusterSize = 65536, refcountBits = 16, extendedL2 = false } = format;
  const { compressionType = 'zlib', lazyRefcounts = false, backing, dataFile } = format;
  const clusterBits = Math.log2(clusterSize);
  option(
    Number.isInteger(clusterBits) && clusterBits >= 9 && clusterBits <= 21,
    `A cluster size is a power of two from 512 to 2097152, not ${clusterSize}.`,
  );
  const refcountOrder = Math.log2(refcountBits);
  option(
    Number.isInteger(refcountOrder) && refcountOrder >= 0 && refcountOrder <= 6,
    `A refcount has a power of two of bits from 1 to 64, not ${refcountBits}.`,
  );
  option(!extendedL2 || clusterSize >= 16384, 'Extended L2 entries need clusters of at least 16 KiB.');
  const needsV3 =
    refcountBits !== 16 || extendedL2 || compressionType !== 'zlib' || lazyRefcounts || dataFile;
  option(version === 3 || !needsV3, 'Version 2 has 16-bit refcounts, zlib, and none of the newer features.');
  option(
    !dataFile || !backing,
    'An image with an external data file that has a backing image is not supported.',
  );
  option(!dataFile || !lazyRefcounts, 'Lazy refcounts and an external data file exclude each other.');
  const incompatible =
    (extendedL2 ? Incompatible.extendedL2 : 0) |
    (compressionType === 'zlib' ? 0 : Incompatible.compressionType) |
    (dataFile ? Incompatible.externalData : 0);
  const shape = { clusterBits, incompatible };
  option(
    isWholeNumber(format.size) && format.size <= largestSize(shape),
    `With clusters of ${clusterSize} bytes a disk has up to ${largestSize(shape)} bytes, not ${format.size}.`,
  );
  const l1Size = requiredL1Size(shape, format.size);
  const l1Clusters = Math.ceil((l1Size * 8) / clusterSize);
  const blockEntries = (clusterSize * 8) / refcountBits;
  // Header, L1 table, refcount table, refcount blocks: the blocks cover all of them.
  let blocks = 1;
  let tableClusters = 1;
  for (;;) {
    const total = 1 + l1Clusters + tableClusters + blocks;
    const wanted = Math.ceil(total / blockEntries);
    const wantedTable = Math.ceil((wanted * 8) / clusterSize);
    if (wanted <= blocks && wantedTable <= tableClusters) break;
    blocks = Math.max(blocks, wanted);
    tableClusters = Math.max(tableClusters, wantedTable);
  }
  const total = 1 + l1Clusters + tableClusters + blocks;
  const l1TableOffset = l1Clusters === 0 ? 0 : clusterSize;
  const refcountTableOffset = (1 + l1Clusters) * clusterSize;
  const header: Qcow2Header = {
    version,
    clusterBits,
    size: format.size,
    l1Size,
    l1TableOffset,
    refcountTableOffset,
    refcountTableClusters: tableClusters,
    refcountOrder,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible,
    compatible: lazyRefcounts ? Compatible.lazyRefcounts : 0,
    autoclear: dataFile?.isRaw ? Autoclear.rawExternalData : 0,
    compressionType,
    backingFile: backing?.file,
    backingFormat: backing?.format,
    dataFile: dataFile?.file,
    bitmaps: undefined,
  };
  const bytes = new Uint8Array(total * clusterSize);
  const view = viewOf(bytes);
  bytes.set(serializeHeader(header));
  const firstBlock = refcountTableOffset + tableClusters * clusterSize;
  for (let i = 0; i < blocks; i++) writeU64(view, refcountTableOffset + i * 8, firstBlock + i * clusterSize);
  const counts = viewOf(bytes.subarray(firstBlock));
  for (let i = 0; i < total; i++) writeRefcount(counts, i, refcountOrder, 1);
  return bytes;
}

/**
 * Writes an empty qcow2 image, and brings it to stable storage.
 * @param storage empty, or of a fixed size
 * @throws DiskError BAD_OPTION, before anything is written
 */
export async function formatQcow2(storage: Storage, format: Qcow2Format): Promise<void> {
  await writeEmptyQcow2(storage, encodeEmptyQcow2(format));
}

/** Writes what {@link encodeEmptyQcow2} made. */
export async function writeEmptyQcow2(storage: Storage, bytes: Uint8Array): Promise<void> {
  // The magic comes last: until then it is no qcow2 image.
  await storage.write(0, SegmentList.of(new Uint8Array(512)));
  await storage.write(512, SegmentList.of(bytes.subarray(512)));
  await storage.sync();
  await storage.write(0, SegmentList.of(bytes.subarray(0, 512)));
  await storage.sync();
}
