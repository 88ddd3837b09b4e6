import { Incompatible } from './features.ts';
import { l2EntrySize, type Qcow2Header } from './header.ts';

/** What a (sub)cluster of the disk is, by its L2 entry. */
export type ClusterKind = 'unallocated' | 'zero' | 'data' | 'compressed';

/** L1 and L2 entries: bit 63, exactly one reference exists, so the cluster may be written in place. */
export const COPIED_HIGH = 0x8000_0000;
const COMPRESSED_HIGH = 0x4000_0000;
const OFFSET_HIGH = 0x00ff_ffff;
const OFFSET_LOW = 0xffff_fe00;
const ZERO_LOW = 1;
const SUBCLUSTERS = 32;
const ALL_SUBCLUSTERS = 0xffff_ffff;

/** Sizes that follow from the header; bytes where not said otherwise. */
export interface Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly entrySize: number;
  /** Entries of an L2 table. */
  readonly l2Entries: number;
  /** What an L2 table maps. */
  readonly l2Coverage: number;
  readonly hasZeroFlag: boolean;
  readonly hasSubclusters: boolean;
  /** The smallest unit that is allocated or not: a subcluster, or a cluster. */
  readonly unitSize: number;
  readonly hasDataFile: boolean;
}

export function geometryOf(header: Qcow2Header): Geometry {
  const clusterSize = 2 ** header.clusterBits;
  const entrySize = l2EntrySize(header);
  const hasSubclusters = (header.incompatible & Incompatible.extendedL2) !== 0;
  return {
    clusterBits: header.clusterBits,
    clusterSize,
    entrySize,
    l2Entries: clusterSize / entrySize,
    l2Coverage: (clusterSize / entrySize) * clusterSize,
    hasZeroFlag: header.version === 3 && !hasSubclusters,
    hasSubclusters,
    unitSize: hasSubclusters ? clusterSize / SUBCLUSTERS : clusterSize,
    hasDataFile: (header.incompatible & Incompatible.externalData) !== 0,
  };
}

/** Byte offset that an L1 or L2 entry points to. */
export function entryOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);
}

/** One L2 entry, decoded. Made once and filled again. */
export class ClusterEntry {
  kind: ClusterKind = 'unallocated';
  /** Byte offset in the file; 0 when the entry has none. */
  host = 0;
  /** There is a host cluster of which this is the only user. */
  isOwned = false;
  /** Bytes of compressed data, up to the end of their last sector. */
  compressedLength = 0;
  /** Bit n: subcluster n is allocated, reads as zero. */
  allocated = 0;
  zeroes = 0;

  read(geometry: Geometry, view: DataView, offset: number): this {
    const high = view.getUint32(offset);
    const low = view.getUint32(offset + 4);
    this.allocated = 0;
    this.zeroes = 0;
    this.compressedLength = 0;
    if ((high & COMPRESSED_HIGH) !== 0) {
      // The offset's width depends on the cluster size: x = 62 - (cluster_bits - 8).
      const highBits = 62 - (geometry.clusterBits - 8) - 32;
      const value = high & (COMPRESSED_HIGH - 1);
      this.kind = 'compressed';
      this.host = (value & ((1 << highBits) - 1)) * 2 ** 32 + low;
      this.compressedLength = ((value >>> highBits) + 1) * 512 - (this.host % 512);
      this.isOwned = false;
      return this;
    }
    const isCopied = (high & COPIED_HIGH) !== 0;
    this.host = entryOffset(high, low);
    const hasHost = this.host !== 0 || (geometry.hasDataFile && isCopied);
    this.isOwned = hasHost && isCopied;
    if (geometry.hasSubclusters) {
      this.zeroes = view.getUint32(offset + 8);
      this.allocated = view.getUint32(offset + 12);
      this.kind = hasHost ? 'data' : 'unallocated';
    } else if (geometry.hasZeroFlag && (low & ZERO_LOW) !== 0) {
      this.kind = 'zero';
    } else {
      this.kind = hasHost ? 'data' : 'unallocated';
    }
    return this;
  }

  /** What subcluster `index` is; undefined when the entry contradicts itself. */
  subcluster(index: number): ClusterKind | undefined {
    const isAllocated = (this.allocated >>> index) & 1;
    const isZero = (this.zeroes >>> index) & 1;
    if (isAllocated && (isZero || this.kind !== 'data')) return undefined;
    return isAllocated ? 'data' : isZero ? 'zero' : 'unallocated';
  }
}

/** Consecutive bytes of the disk of one kind. */
export class Run {
  kind: ClusterKind = 'unallocated';
  length = 0;
  /** Byte offset in the file, of data; of all of the compressed cluster. */
  host = 0;
  /** Data that may be written in place. */
  isOwned = false;
  compressedLength = 0;
}

/**
 * What the disk is from `position` on.
 * @param view a slice of the L2 table, which maps `position`
 * @param limit bytes that are of interest
 * @returns undefined for an entry that contradicts itself
 */
export function locate(
  geometry: Geometry,
  view: DataView,
  position: number,
  limit: number,
  run: Run,
): Run | undefined {
  const { clusterSize, entrySize, unitSize, hasSubclusters } = geometry;
  const entries = view.byteLength / entrySize;
  let index = Math.floor(position / clusterSize) % entries;
  let within = position % clusterSize;
  run.length = 0;
  for (; index < entries; index++, within = 0) {
    const entry = scratch.read(geometry, view, index * entrySize);
    if (entry.kind === 'compressed') {
      if (run.length > 0) return run;
      run.kind = 'compressed';
      run.host = entry.host;
      run.compressedLength = entry.compressedLength;
      run.isOwned = false;
      run.length = Math.min(limit, clusterSize - within);
      return run;
    }
    if (entry.kind === 'data' && entry.host % clusterSize !== 0) return undefined;
    while (within < clusterSize) {
      const kind = hasSubclusters ? entry.subcluster(Math.floor(within / unitSize)) : entry.kind;
      if (kind === undefined) return undefined;
      const host = entry.host + within;
      if (run.length === 0) {
        run.kind = kind;
        run.host = host;
        run.isOwned = entry.isOwned;
      } else if (
        kind !== run.kind ||
        (kind === 'data' && (host !== run.host + run.length || entry.isOwned !== run.isOwned))
      ) {
        return run;
      }
      const step = unitSize - (within % unitSize);
      run.length += step;
      within += step;
      if (run.length >= limit) {
        run.length = limit;
        return run;
      }
    }
  }
  return run;
}

const scratch = new ClusterEntry();

/** Writes an L2 entry for a host cluster of which this is the only user. */
export function writeDataEntry(
  geometry: Geometry,
  view: DataView,
  offset: number,
  host: number,
  allocated: number,
  zeroes: number,
): void {
  view.setUint32(offset, (COPIED_HIGH | Math.floor(host / 2 ** 32)) >>> 0);
  view.setUint32(offset + 4, host % 2 ** 32);
  if (!geometry.hasSubclusters) return;
  view.setUint32(offset + 8, zeroes);
  view.setUint32(offset + 12, allocated);
}

/** Writes an L2 entry without a host cluster. */
export function writeEmptyEntry(geometry: Geometry, view: DataView, offset: number, isZero: boolean): void {
  view.setUint32(offset, 0);
  view.setUint32(offset + 4, isZero && geometry.hasZeroFlag ? ZERO_LOW : 0);
  if (!geometry.hasSubclusters) return;
  view.setUint32(offset + 8, isZero ? ALL_SUBCLUSTERS : 0);
  view.setUint32(offset + 12, 0);
}

/** Sets the zero flag and keeps the host cluster; needs `hasZeroFlag`. */
export function writeZeroFlag(view: DataView, offset: number): void {
  view.setUint32(offset + 4, (view.getUint32(offset + 4) | ZERO_LOW) >>> 0);
}

export function writeCompressedEntry(
  geometry: Geometry,
  view: DataView,
  offset: number,
  host: number,
  length: number,
): void {
  const highBits = 62 - (geometry.clusterBits - 8) - 32;
  const sectors = Math.floor((host + length - 1) / 512) - Math.floor(host / 512);
  const high = COMPRESSED_HIGH + sectors * 2 ** highBits + Math.floor(host / 2 ** 32);
  view.setUint32(offset, high);
  view.setUint32(offset + 4, host % 2 ** 32);
  if (!geometry.hasSubclusters) return;
  view.setUint32(offset + 8, 0);
  view.setUint32(offset + 12, 0);
}

/** Bits of the subclusters that `[from, to)`, bytes of a cluster, touches. */
export function subclusterBits(geometry: Geometry, from: number, to: number): number {
  const first = Math.floor(from / geometry.unitSize);
  const last = Math.ceil(to / geometry.unitSize);
  const count = last - first;
  return count >= SUBCLUSTERS ? ALL_SUBCLUSTERS : (((1 << count) - 1) << first) >>> 0;
}
