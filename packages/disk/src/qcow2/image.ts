import { DiskError } from '../errors.ts';
import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { viewOf, writeU64 } from './big-endian.ts';
import { Incompatible, KEPT_AUTOCLEAR } from './features.ts';
import { HeaderField, hasLazyRefcounts, parseHeader, QCOW2_MAGIC, type Qcow2Header } from './header.ts';
import { COPIED_HIGH, entryOffset, type Geometry, geometryOf } from './mapping.ts';
import { Refcounts } from './refcounts.ts';
import { type Slice, TableCache } from './table-cache.ts';

/** How much memory an image's metadata may take, beside its L1 and refcount tables. */
export interface Qcow2CacheOptions {
  /** Bytes of L2 tables; 32 MiB unless given, which maps 256 GiB of clusters of 64 KiB. */
  readonly l2CacheBytes?: number;
  /** Bytes of refcount blocks; 4 MiB unless given. */
  readonly refcountCacheBytes?: number;
}

const DEFAULT_L2_CACHE = 32 * 2 ** 20;
const DEFAULT_REFCOUNT_CACHE = 4 * 2 ** 20;
/** What is read of a table at a time: a page maps 32 MiB of clusters of 64 KiB. */
const SLICE_SIZE = 4096;
const SECTOR = 512;
const MAX_CLUSTER_BITS = 21;
/** Frees that wait for their turn; more than this make the image write back. */
const MAX_PENDING_FREES = 65536;

interface PendingFree {
  readonly cluster: number;
  readonly punch: boolean;
}

/**
 * The metadata of a qcow2 image: header, L1 and L2 tables, refcounts, and the order in which they reach the storage.
 *
 * {@link writeBack} keeps this order, so that after a crash at any moment no table points at what is not there:
 *
 * 1. data (which its writer has passed to the storage before it changes an L2 entry), refcounts that grew, and the first
 *    contents of new L2 tables — sync — then, if it changed, the refcount table — sync;
 * 2. L2 and L1 entries — sync;
 * 3. refcounts that shrank. Until then a cluster that nobody refers to any more is not used again.
 *
 * In between a cluster may be counted that nobody uses. So that a crash there leaks nothing for long, the header says
 * that the image is dirty, before refcounts change on the storage, until everything is written: whoever opens the image
 * next for writing, here or with QEMU, counts anew. Version 2 has no place to say so: its leaks wait for a repair.
 *
 * With lazy refcounts, which the image must allow, being dirty lasts until the image is closed, and refcounts are not
 * written before. Otherwise it ends with the first flush that finds nothing to write, so that a guest that syncs after
 * each allocation does not pay for it each time.
 */
export class Qcow2Image {
  readonly storage: Storage;
  /** Where data clusters lie: `storage`, or the external data file. */
  readonly data: Storage;
  readonly header: Qcow2Header;
  readonly geometry: Geometry;
  readonly refcounts: Refcounts;
  readonly l2: TableCache;
  #l1: Uint8Array;
  #l1View: DataView;
  readonly #dirtyL1 = new Set<number>();
  #pendingFrees: PendingFree[] = [];
  /** The header says what a change requires: {@link prepareToWrite} has nothing left to do. */
  isPrepared = false;

  private constructor(
    storage: Storage,
    data: Storage,
    header: Qcow2Header,
    tables: { readonly l1: Uint8Array; readonly refcounts: Uint8Array },
    options: Qcow2CacheOptions,
  ) {
    this.storage = storage;
    this.data = data;
    this.header = header;
    this.geometry = geometryOf(header);
    const sliceSize = Math.min(SLICE_SIZE, this.geometry.clusterSize);
    this.refcounts = new Refcounts(
      this,
      tables.refcounts,
      sliceSize,
      options.refcountCacheBytes ?? DEFAULT_REFCOUNT_CACHE,
    );
    this.l2 = new TableCache(storage, sliceSize, options.l2CacheBytes ?? DEFAULT_L2_CACHE);
    this.#l1 = tables.l1;
    this.#l1View = viewOf(tables.l1);
  }

  /** Reads a header, and nothing else. */
  static async readHeader(storage: Storage): Promise<Qcow2Header> {
    const start = new Uint8Array(SECTOR);
    await storage.read(0, SegmentList.of(start));
    const view = viewOf(start);
    if (view.getUint32(0) !== QCOW2_MAGIC) return parseHeader(start, storage.name);
    // Extensions and names may fill the first cluster.
    const clusterBits = Math.min(view.getUint32(HeaderField.clusterBits), MAX_CLUSTER_BITS);
    const bytes = new Uint8Array(Math.min(Math.max(SECTOR, 2 ** clusterBits), storage.size));
    await storage.read(0, SegmentList.of(bytes));
    return parseHeader(bytes, storage.name);
  }

  /** @param data where data clusters lie: `storage` itself, or the external data file */
  static async load(
    storage: Storage,
    data: Storage,
    header: Qcow2Header,
    options: Qcow2CacheOptions = {},
  ): Promise<Qcow2Image> {
    const l1 = new Uint8Array(header.l1Size * 8);
    await storage.read(header.l1TableOffset, SegmentList.of(l1));
    const refcounts = new Uint8Array(header.refcountTableClusters * 2 ** header.clusterBits);
    await storage.read(header.refcountTableOffset, SegmentList.of(refcounts));
    return new Qcow2Image(storage, data, header, { l1, refcounts }, options);
  }

  get hasDirtyMetadata(): boolean {
    return (
      this.l2.hasDirty ||
      this.#dirtyL1.size > 0 ||
      this.refcounts.hasDirtyBlocks ||
      this.refcounts.isTableDirty ||
      this.#pendingFrees.length > 0
    );
  }

  /** A flush would change the storage: metadata, or the mark that says that metadata may be incomplete. */
  get needsFlush(): boolean {
    return this.hasDirtyMetadata || (this.isDirty && !this.#isLazy);
  }

  get isCorrupt(): boolean {
    return (this.header.incompatible & Incompatible.corrupt) !== 0;
  }

  get isDirty(): boolean {
    return (this.header.incompatible & Incompatible.dirty) !== 0;
  }

  get #isLazy(): boolean {
    return hasLazyRefcounts(this.header);
  }

  /** Where the L2 table with number `index` lies in the file; 0 when there is none. */
  l2TableOffset(index: number): number {
    if (index >= this.header.l1Size) return 0;
    const offset = entryOffset(this.#l1View.getUint32(index * 8), this.#l1View.getUint32(index * 8 + 4));
    if (offset % this.geometry.clusterSize !== 0) {
      throw this.corruption(`the L2 table ${index} lies at offset ${offset}, not at a cluster`);
    }
    return offset;
  }

  /** Whether the L2 table with number `index` may be changed in place. */
  isL2TableOwned(index: number): boolean {
    return (this.#l1View.getUint32(index * 8) & COPIED_HIGH) !== 0;
  }

  /** The slice of the L2 table at `tableOffset` that maps `position` of the disk; at once when it is cached. */
  l2Slice(tableOffset: number, position: number): Slice | Promise<Slice> {
    const offset = this.#l2SliceOffset(tableOffset, position);
    const slice = this.l2.get(offset);
    return slice instanceof Promise ? this.#settleL2(slice, offset) : slice;
  }

  /** Byte offset in its slice of the L2 entry that maps `position`. */
  l2EntryOffset(position: number): number {
    const { clusterSize, entrySize } = this.geometry;
    return (Math.floor(position / clusterSize) * entrySize) % this.l2.sliceSize;
  }

  /** Bytes of the disk from `position` to the end of what its slice of an L2 table maps. */
  sliceLength(position: number): number {
    const coverage = (this.l2.sliceSize / this.geometry.entrySize) * this.geometry.clusterSize;
    return coverage - (position % coverage);
  }

  /** Makes L2 table `index` exist and belong to this image alone. @returns its offset */
  async ownL2Table(index: number): Promise<number> {
    const { clusterSize } = this.geometry;
    const old = this.l2TableOffset(index);
    if (old !== 0 && this.isL2TableOwned(index)) {
      this.assertNoMetadata(old, clusterSize);
      return old;
    }
    const { offset } = await this.refcounts.allocate(1);
    const bytes = new Uint8Array(clusterSize);
    const segments = SegmentList.of(bytes);
    if (old !== 0) await this.storage.read(old, segments);
    this.l2.drop(offset, clusterSize);
    await this.storage.write(offset, segments);
    this.#setL1(index, offset);
    if (old !== 0) this.free(old, 1, false);
    return offset;
  }

  /**
   * Drops references to clusters of the image's file once the tables that no longer have them are on stable storage.
   * @param punch give their space back when it was the last reference
   */
  free(offset: number, clusters: number, punch: boolean): void {
    const first = Math.floor(offset / this.geometry.clusterSize);
    for (let i = 0; i < clusters; i++) this.#pendingFrees.push({ cluster: first + i, punch });
  }

  /** Call between the steps of a long operation: writes back when the caches or the frees that wait are at their limit. */
  async makeRoom(): Promise<void> {
    if (this.l2.isCrowded || this.refcounts.isCrowded || this.#pendingFrees.length >= MAX_PENDING_FREES) {
      await this.writeBack();
    }
  }

  /** Call before the first change: drops feature bits that only hold while nobody writes. */
  async prepareToWrite(): Promise<void> {
    if (this.isCorrupt) {
      throw new DiskError(
        'CORRUPT',
        `${this.storage.name} is marked corrupt. Repair it, or open it read-only.`,
      );
    }
    if ((this.header.autoclear & ~KEPT_AUTOCLEAR) !== 0) {
      this.header.autoclear &= KEPT_AUTOCLEAR;
      await this.#writeHeader(HeaderField.autoclear, u64(this.header.autoclear));
      await this.storage.sync();
    }
    this.isPrepared = true;
  }

  /**
   * Brings the metadata to the storage, in the order that survives crashes. Data written before is then durable too.
   * (Lazy refcounts wait, unless their cache is full.)
   */
  async writeBack(): Promise<void> {
    const { refcounts } = this;
    const isCounting = refcounts.hasDirtyBlocks || refcounts.isTableDirty || this.#pendingFrees.length > 0;
    if (isCounting) await this.markDirty();
    const isPostponed = this.#isLazy && this.isDirty && !refcounts.isCrowded;
    if (!isPostponed) await refcounts.writeBlocks();
    await this.data.sync();
    if (this.storage !== this.data) await this.storage.sync();
    if (refcounts.isTableDirty && !isPostponed) {
      await refcounts.writeTable();
      await this.storage.sync();
    }
    if (this.l2.hasDirty || this.#dirtyL1.size > 0) {
      await this.l2.writeDirty();
      await this.#writeL1();
      await this.storage.sync();
    }
    await this.#applyFrees(isPostponed);
  }

  /** What a flush does: writes back or, when there is nothing to write, says that the refcounts are right. */
  async flush(): Promise<void> {
    if (this.hasDirtyMetadata) await this.writeBack();
    else await this.markClean();
  }

  /** Writes back everything, refcounts too, and says that they are right. */
  async close(): Promise<void> {
    await this.writeBack();
    await this.markClean();
  }

  /**
   * Says, durably, that refcounts may be wrong. Before that no change of a refcount may reach the storage.
   * An image of version 2 cannot say it.
   */
  async markDirty(): Promise<void> {
    if (!this.isDirty) await this.setIncompatible(Incompatible.dirty, true);
  }

  /** Makes the refcounts on the storage right, and says so. Tables must have been written back. */
  async markClean(): Promise<void> {
    const { refcounts } = this;
    if (!this.isDirty && !refcounts.hasDirtyBlocks && !refcounts.isTableDirty) return;
    await refcounts.writeBlocks();
    await this.data.sync();
    if (this.storage !== this.data) await this.storage.sync();
    if (refcounts.isTableDirty) {
      await refcounts.writeTable();
      await this.storage.sync();
    }
    if (this.isDirty) await this.setIncompatible(Incompatible.dirty, false);
  }

  /** Puts a new L1 table and size into the header, in one write. The tables must be on stable storage. */
  async switchL1(table: Uint8Array, offset: number, size: number): Promise<void> {
    const old = { offset: this.header.l1TableOffset, length: this.#l1.length };
    this.header.l1TableOffset = offset;
    this.header.l1Size = table.length / 8;
    this.#l1 = table;
    this.#l1View = viewOf(table);
    await this.writeSize(size);
    const clusters = Math.ceil(old.length / this.geometry.clusterSize);
    if (old.offset !== 0) this.free(old.offset, clusters, false);
  }

  /** Writes the disk's size to the header, and where its L1 table is; durable when it returns. */
  async writeSize(size: number): Promise<void> {
    this.header.size = size;
    const bytes = new Uint8Array(24);
    const view = viewOf(bytes);
    writeU64(view, 0, size);
    view.setUint32(HeaderField.l1Size - HeaderField.size, this.header.l1Size);
    writeU64(view, HeaderField.l1TableOffset - HeaderField.size, this.header.l1TableOffset);
    await this.#writeHeader(HeaderField.size, bytes);
    await this.storage.sync();
  }

  async writeRefcountTableLocation(): Promise<void> {
    const bytes = new Uint8Array(12);
    writeU64(viewOf(bytes), 0, this.header.refcountTableOffset);
    viewOf(bytes).setUint32(8, this.header.refcountTableClusters);
    await this.#writeHeader(HeaderField.refcountTableOffset, bytes);
  }

  /** Sets or clears incompatible feature bits; durable when it returns. */
  async setIncompatible(bits: number, value: boolean): Promise<void> {
    if (this.header.version < 3) return;
    this.header.incompatible = value ? this.header.incompatible | bits : this.header.incompatible & ~bits;
    await this.#writeHeader(HeaderField.incompatible, u64(this.header.incompatible));
    await this.storage.sync();
  }

  /** Keeps everybody from writing to an image that contradicts itself, until it is repaired. */
  async markCorrupt(): Promise<void> {
    this.isPrepared = false;
    if (!this.isCorrupt && !this.storage.readOnly) await this.setIncompatible(Incompatible.corrupt, true);
  }

  /** A copy of the L1 table with room for `entries`. */
  copyL1(entries: number): Uint8Array {
    const copy = new Uint8Array(entries * 8);
    copy.set(this.#l1.subarray(0, copy.length));
    return copy;
  }

  /** Forgets all L2 tables from number `from` on; what they refer to must have been freed. */
  dropL2Tables(from: number): void {
    for (let index = from; index < this.header.l1Size; index++) {
      const offset = this.l2TableOffset(index);
      if (offset === 0) continue;
      this.l2.drop(offset, this.geometry.clusterSize);
      this.free(offset, 1, true);
      this.#setL1(index, 0);
    }
  }

  /** @throws DiskError CORRUPT when the header, the L1 or the refcount table lies in a range that is to be written */
  assertNoMetadata(offset: number, length: number): void {
    const { header } = this;
    const { clusterSize } = this.geometry;
    const hits = (start: number, size: number) => offset < start + size && start < offset + length;
    const what = hits(0, clusterSize)
      ? 'the header'
      : hits(header.l1TableOffset, header.l1Size * 8)
        ? 'the L1 table'
        : hits(header.refcountTableOffset, header.refcountTableClusters * clusterSize)
          ? 'the refcount table'
          : undefined;
    if (what) throw this.corruption(`offset ${offset}, which is about to be written, belongs to ${what}`);
  }

  corruption(what: string): DiskError {
    return new DiskError('CORRUPT', `${this.storage.name} is corrupt: ${what}. Check and repair the image.`);
  }

  async #settleL2(loading: Promise<Slice>, offset: number): Promise<Slice> {
    for (let slice = await loading; ; slice = await this.l2.get(offset)) {
      if (slice.offset === offset) return slice;
    }
  }

  #l2SliceOffset(tableOffset: number, position: number): number {
    const { clusterSize, entrySize, l2Entries } = this.geometry;
    const within = (Math.floor(position / clusterSize) % l2Entries) * entrySize;
    return tableOffset + within - (within % this.l2.sliceSize);
  }

  #setL1(index: number, offset: number): void {
    const high = offset === 0 ? 0 : (COPIED_HIGH | Math.floor(offset / 2 ** 32)) >>> 0;
    this.#l1View.setUint32(index * 8, high);
    this.#l1View.setUint32(index * 8 + 4, offset % 2 ** 32);
    this.#dirtyL1.add(Math.floor((index * 8) / SECTOR));
  }

  async #writeL1(): Promise<void> {
    for (const sector of [...this.#dirtyL1].sort((a, b) => a - b)) {
      const bytes = this.#l1.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      await this.storage.write(this.header.l1TableOffset + sector * SECTOR, SegmentList.of(bytes));
      this.#dirtyL1.delete(sector);
    }
  }

  /** Nothing on stable storage refers to these clusters any more. */
  async #applyFrees(isPostponed: boolean): Promise<void> {
    if (this.#pendingFrees.length === 0) return;
    const frees = this.#pendingFrees;
    this.#pendingFrees = [];
    const { clusterSize } = this.geometry;
    let hole = { start: 0, length: 0 };
    const punch = async () => {
      if (hole.length > 0) await this.storage.discard(hole.start, hole.length);
    };
    for (const { cluster, punch: mayPunch } of frees) {
      if (this.refcounts.isCrowded) await this.refcounts.writeBlocks();
      const isFree = (await this.refcounts.decrement(cluster)) === 0;
      if (isFree) this.l2.drop(cluster * clusterSize, clusterSize);
      if (!isFree || !mayPunch) continue;
      const start = cluster * clusterSize;
      if (start === hole.start + hole.length) {
        hole.length += clusterSize;
      } else {
        await punch();
        hole = { start, length: clusterSize };
      }
    }
    await punch();
    // Not synced: should this be lost, the image is still marked dirty.
    if (!isPostponed) await this.refcounts.writeBlocks();
  }

  async #writeHeader(field: number, bytes: Uint8Array): Promise<void> {
    await this.storage.write(field, SegmentList.of(bytes));
  }
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(viewOf(bytes), 0, value);
  return bytes;
}
