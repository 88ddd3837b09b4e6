import { DiskError } from '../errors.ts';
import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { readU64, viewOf, writeU64 } from './big-endian.ts';
import type { Qcow2Header } from './header.ts';
import { type Slice, TableCache } from './table-cache.ts';

/** Consecutive clusters of the file. */
export interface ClusterRun {
  /** Byte offset of the first. */
  readonly offset: number;
  readonly count: number;
}

const MAX_TABLE_BYTES = 8 * 2 ** 20;
const SECTOR = 512;

/** What the refcounts need of the image they belong to. */
export interface RefcountOwner {
  readonly storage: Storage;
  readonly header: Qcow2Header;
  /** Writes the header's fields about the refcount table. */
  writeRefcountTableLocation(): Promise<void>;
  /** Says, durably, that refcounts may be wrong from now on. */
  markDirty(): Promise<void>;
  /** Throws CORRUPT when a range of the file that is about to be used holds a table that the header points to. */
  assertNoMetadata(offset: number, length: number): void;
}

/** How often each cluster of the file is referred to: the two-level refcount table, and the allocator over it. */
export class Refcounts {
  readonly #owner: RefcountOwner;
  readonly #cache: TableCache;
  readonly #order: number;
  readonly #clusterSize: number;
  /** Clusters that a refcount block, and a slice of one in the cache, tells about. */
  readonly #blockEntries: number;
  readonly #sliceEntries: number;
  #table: Uint8Array;
  #tableView: DataView;
  #dirtyFrom = Number.POSITIVE_INFINITY;
  #dirtyTo = 0;
  /** No cluster before it is free. */
  #firstFree = 0;

  constructor(owner: RefcountOwner, table: Uint8Array, sliceSize: number, cacheBytes: number) {
    this.#owner = owner;
    this.#table = table;
    this.#tableView = viewOf(table);
    this.#order = owner.header.refcountOrder;
    this.#clusterSize = 2 ** owner.header.clusterBits;
    this.#blockEntries = (this.#clusterSize * 8) / 2 ** this.#order;
    this.#sliceEntries = (sliceSize * 8) / 2 ** this.#order;
    this.#cache = new TableCache(owner.storage, sliceSize, cacheBytes);
  }

  get isTableDirty(): boolean {
    return this.#dirtyTo > 0;
  }

  get hasDirtyBlocks(): boolean {
    return this.#cache.hasDirty;
  }

  get isCrowded(): boolean {
    return this.#cache.isCrowded;
  }

  /** The largest refcount there is room for. */
  get maximum(): number {
    return this.#order === 6 ? Number.MAX_SAFE_INTEGER : 2 ** (2 ** this.#order) - 1;
  }

  /** Entries of the refcount table, and the offset of each one's block; 0 where there is none. */
  get blockCount(): number {
    return this.#table.length / 8;
  }

  get blockEntries(): number {
    return this.#blockEntries;
  }

  blockOffset(block: number): number {
    if (block >= this.blockCount) return 0;
    const offset = readU64(this.#tableView, block * 8);
    return offset - (offset % SECTOR);
  }

  /** The refcount of cluster `cluster` of the file. */
  async get(cluster: number): Promise<number> {
    const offset = this.#sliceOffset(cluster);
    if (offset === 0) return 0;
    return this.#read(await this.#slice(offset), cluster % this.#sliceEntries);
  }

  /** Makes a refcount `value`, with a new refcount block if it takes one. */
  async set(cluster: number, value: number): Promise<void> {
    const block = Math.floor(cluster / this.#blockEntries);
    while (this.#sliceOffset(cluster) === 0) {
      if (value === 0) return;
      await this.#addBlock(block);
    }
    const slice = await this.#slice(this.#sliceOffset(cluster));
    this.#write(slice, cluster % this.#sliceEntries, value);
    if (value === 0) this.#firstFree = Math.min(this.#firstFree, cluster);
  }

  /** Adds 1. @returns false when there is no room for a higher count */
  async increment(cluster: number): Promise<boolean> {
    const value = await this.get(cluster);
    if (value >= this.maximum) return false;
    await this.set(cluster, value + 1);
    return true;
  }

  /** Subtracts 1. @returns the new count */
  async decrement(cluster: number): Promise<number> {
    const value = await this.get(cluster);
    if (value === 0) {
      throw new DiskError(
        'CORRUPT',
        `${this.#owner.storage.name}: cluster ${cluster} is in use, but its refcount is 0. Repair the image.`,
      );
    }
    await this.set(cluster, value - 1);
    return value - 1;
  }

  /** Allocates 1 to `wanted` consecutive clusters, the first free ones there are. */
  async allocate(wanted: number): Promise<ClusterRun> {
    for (;;) {
      const block = Math.floor(this.#firstFree / this.#blockEntries);
      const offset = this.#sliceOffset(this.#firstFree);
      if (offset === 0) {
        await this.#addBlock(block);
        continue;
      }
      const slice = await this.#slice(offset);
      const from = this.#firstFree % this.#sliceEntries;
      const found = this.#findFree(slice, from);
      const start = this.#firstFree - from;
      if (found < 0) {
        this.#firstFree = start + this.#sliceEntries;
        continue;
      }
      let count = 1;
      while (count < wanted && found + count < this.#sliceEntries && this.#read(slice, found + count) === 0) {
        count++;
      }
      this.#assertUsable(start + found, count);
      for (let i = 0; i < count; i++) this.#write(slice, found + i, 1);
      this.#firstFree = start + found + count;
      return { offset: (start + found) * this.#clusterSize, count };
    }
  }

  /** Allocates exactly `count` consecutive clusters. @returns the byte offset of the first */
  async allocateContiguous(count: number): Promise<number> {
    let start = this.#firstFree;
    for (let found = 0; found < count; ) {
      if ((await this.get(start + found)) === 0) {
        found++;
      } else {
        start += found + 1;
        found = 0;
      }
    }
    // A block for these may be placed among them: then the search goes on behind it.
    for (let i = 0; i < count; i++) {
      const block = Math.floor((start + i) / this.#blockEntries);
      if (this.blockOffset(block) !== 0) continue;
      await this.#addBlock(block);
      return this.allocateContiguous(count);
    }
    this.#assertUsable(start, count);
    for (let i = 0; i < count; i++) await this.set(start + i, 1);
    return start * this.#clusterSize;
  }

  /** Writes the changed refcount blocks. */
  async writeBlocks(): Promise<void> {
    await this.#cache.writeDirty();
  }

  /** Writes the changed part of the refcount table; the blocks it points to must be on stable storage. */
  async writeTable(): Promise<void> {
    if (!this.isTableDirty) return;
    const bytes = this.#table.subarray(this.#dirtyFrom, this.#dirtyTo);
    const { storage, header } = this.#owner;
    await storage.write(header.refcountTableOffset + this.#dirtyFrom, SegmentList.of(bytes));
    this.#dirtyFrom = Number.POSITIVE_INFINITY;
    this.#dirtyTo = 0;
  }

  async #slice(offset: number): Promise<Slice> {
    for (;;) {
      const got = this.#cache.get(offset);
      const slice = got instanceof Promise ? await got : got;
      if (slice.offset === offset) return slice;
    }
  }

  /** Where the slice that holds a cluster's refcount lies in the file; 0 when there is no block for it. */
  #sliceOffset(cluster: number): number {
    const block = this.blockOffset(Math.floor(cluster / this.#blockEntries));
    if (block === 0) return 0;
    if (block % this.#clusterSize !== 0) {
      throw new DiskError(
        'CORRUPT',
        `${this.#owner.storage.name}: a refcount block lies at offset ${block}, not at a cluster. Repair the image.`,
      );
    }
    const index = Math.floor((cluster % this.#blockEntries) / this.#sliceEntries);
    return block + index * this.#cache.sliceSize;
  }

  #findFree(slice: Slice, from: number): number {
    for (let i = from; i < this.#sliceEntries; i++) if (this.#read(slice, i) === 0) return i;
    return -1;
  }

  #read(slice: Slice, index: number): number {
    return readRefcount(slice.view, index, this.#order);
  }

  #write(slice: Slice, index: number, value: number): void {
    writeRefcount(slice.view, index, this.#order, value);
    this.#cache.markDirty(slice);
  }

  #assertUsable(cluster: number, count: number): void {
    const { storage } = this.#owner;
    const offset = cluster * this.#clusterSize;
    const length = count * this.#clusterSize;
    this.#owner.assertNoMetadata(offset, length);
    if (storage.isFixedSize && offset + length > storage.size) {
      throw new DiskError('OUT_OF_RANGE', `${storage.name} is full: the image does not fit on the device.`);
    }
  }

  #setTableEntry(block: number, offset: number): void {
    writeU64(this.#tableView, block * 8, offset);
    const sector = block * 8 - ((block * 8) % SECTOR);
    this.#dirtyFrom = Math.min(this.#dirtyFrom, sector);
    this.#dirtyTo = Math.max(this.#dirtyTo, sector + SECTOR);
  }

  /** A new refcount block, in the first of the clusters it tells about: nobody can use that without the block. */
  async #addBlock(block: number): Promise<void> {
    if (block >= this.blockCount) {
      await this.#growTable(block);
      return;
    }
    const cluster = block * this.#blockEntries;
    this.#assertUsable(cluster, 1);
    const offset = cluster * this.#clusterSize;
    const bytes = new Uint8Array(this.#clusterSize);
    writeRefcount(viewOf(bytes), 0, this.#order, 1);
    this.#cache.drop(offset, this.#clusterSize);
    await this.#owner.storage.write(offset, SegmentList.of(bytes));
    this.#setTableEntry(block, offset);
  }

  /**
   * A larger refcount table, behind everything that the present one covers, together with the blocks that cover it. The
   * header points to it once it is on stable storage.
   */
  async #growTable(block: number): Promise<void> {
    const { storage, header } = this.#owner;
    const old = { offset: header.refcountTableOffset, clusters: header.refcountTableClusters };
    const firstBlock = this.blockCount;
    const first = firstBlock * this.#blockEntries;
    let blocks = 1;
    let clusters = 0;
    for (;;) {
      const entries = Math.max(block + 1, Math.ceil(firstBlock * 1.5), firstBlock + blocks);
      clusters = Math.ceil((entries * 8) / this.#clusterSize);
      const needed = Math.ceil((clusters + blocks) / this.#blockEntries);
      if (needed <= blocks) break;
      blocks = needed;
    }
    if (clusters * this.#clusterSize > Math.max(MAX_TABLE_BYTES, this.#clusterSize)) {
      throw new DiskError(
        'UNSUPPORTED',
        `${storage.name} is as large as its clusters allow: use larger ones.`,
      );
    }
    this.#assertUsable(first, blocks + clusters);
    const blockBytes = new Uint8Array(blocks * this.#clusterSize);
    const blockView = viewOf(blockBytes);
    for (let i = 0; i < blocks + clusters; i++) writeRefcount(blockView, i, this.#order, 1);
    const table = new Uint8Array(clusters * this.#clusterSize);
    table.set(this.#table);
    const tableView = viewOf(table);
    for (let i = 0; i < blocks; i++) {
      writeU64(tableView, (firstBlock + i) * 8, (first + i) * this.#clusterSize);
    }
    const tableOffset = (first + blocks) * this.#clusterSize;
    this.#cache.drop(first * this.#clusterSize, (blocks + clusters) * this.#clusterSize);
    await storage.write(first * this.#clusterSize, SegmentList.of(blockBytes));
    await storage.write(tableOffset, SegmentList.of(table));
    await storage.sync();
    // The old table stays counted until its count is written.
    await this.#owner.markDirty();
    header.refcountTableOffset = tableOffset;
    header.refcountTableClusters = clusters;
    await this.#owner.writeRefcountTableLocation();
    await storage.sync();
    this.#table = table;
    this.#tableView = tableView;
    this.#dirtyFrom = Number.POSITIVE_INFINITY;
    this.#dirtyTo = 0;
    const oldCluster = old.offset / this.#clusterSize;
    for (let i = 0; i < old.clusters; i++) await this.decrement(oldCluster + i);
  }
}

/** @param order log2 of the bits of a refcount; narrow ones fill their bytes from the least significant bit */
export function readRefcount(view: DataView, index: number, order: number): number {
  if (order === 4) return view.getUint16(index * 2);
  if (order === 3) return view.getUint8(index);
  if (order === 5) return view.getUint32(index * 4);
  if (order === 6) return readU64(view, index * 8);
  const bit = index << order;
  return (view.getUint8(bit >> 3) >> (bit & 7)) & ((1 << (1 << order)) - 1);
}

export function writeRefcount(view: DataView, index: number, order: number, value: number): void {
  if (order === 4) view.setUint16(index * 2, value);
  else if (order === 3) view.setUint8(index, value);
  else if (order === 5) view.setUint32(index * 4, value);
  else if (order === 6) writeU64(view, index * 8, value);
  else {
    const bit = index << order;
    const mask = ((1 << (1 << order)) - 1) << (bit & 7);
    view.setUint8(bit >> 3, (view.getUint8(bit >> 3) & ~mask) | (value << (bit & 7)));
  }
}
