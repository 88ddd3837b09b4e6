import { reasonOf } from '@tsvmm/base';
import { SegmentList } from '../segments.ts';
import { readU64, viewOf } from './big-endian.ts';
import type { Qcow2Header } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { ClusterEntry, COPIED_HIGH, entryOffset } from './mapping.ts';
import { readSnapshotTable } from './snapshots.ts';

const CHUNK = 16384;
const SATURATED = 0xffff_ffff;

/** How often each cluster of a file is referred to. Takes memory only for parts of the file that are. */
export class ReferenceCounts {
  readonly #chunks = new Map<number, Uint32Array>();
  /** One more than the last cluster that is referred to. */
  end = 0;

  add(cluster: number, times = 1): void {
    const key = Math.floor(cluster / CHUNK);
    let chunk = this.#chunks.get(key);
    if (!chunk) {
      chunk = new Uint32Array(CHUNK);
      this.#chunks.set(key, chunk);
    }
    const index = cluster % CHUNK;
    chunk[index] = Math.min(SATURATED, (chunk[index] ?? 0) + times);
    this.end = Math.max(this.end, cluster + 1);
  }

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
  }

  /** Whether any of `[from, to)` is referred to. */
  hasAny(from: number, to: number): boolean {
    for (let at = from; at < to; ) {
      const chunk = this.#chunks.get(Math.floor(at / CHUNK));
      const chunkEnd = (Math.floor(at / CHUNK) + 1) * CHUNK;
      if (!chunk) {
        at = chunkEnd;
        continue;
      }
      for (; at < Math.min(to, chunkEnd); at++) if (chunk[at % CHUNK] !== 0) return true;
    }
    return false;
  }
}

/** What walking all tables of an image found. */
export interface References {
  readonly counts: ReferenceCounts;
  /** Entries that no image may have. */
  readonly errors: ErrorList;
  /** Of the disk itself, not of snapshots. */
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  /** Clusters that do not lie behind the one before. */
  readonly fragmentedClusters: number;
}

const MAX_MESSAGES = 100;

/** What is wrong with an image: all of it is counted, the first of it told. */
export class ErrorList {
  readonly messages: string[] = [];
  count = 0;

  add(message: string): void {
    this.count++;
    if (this.messages.length < MAX_MESSAGES) this.messages.push(message);
  }
}

/** Tells how far a long operation is. */
export type Progress = (done: number, total: number) => void;

/** Counts the references that the header and all tables make, except those to the refcount structures themselves. */
export async function collectReferences(image: Qcow2Image, onProgress?: Progress): Promise<References> {
  const walk = new Walk(image, onProgress);
  await walk.run();
  return walk;
}

class Walk implements References {
  readonly counts = new ReferenceCounts();
  readonly errors = new ErrorList();
  allocatedClusters = 0;
  compressedClusters = 0;
  fragmentedClusters = 0;
  readonly #image: Qcow2Image;
  readonly #onProgress: Progress | undefined;
  readonly #entry = new ClusterEntry();

  constructor(image: Qcow2Image, onProgress: Progress | undefined) {
    this.#image = image;
    this.#onProgress = onProgress;
  }

  async run(): Promise<void> {
    const { storage, header } = this.#image;
    this.#add(0, 1, 'the header');
    const tables = new Map<number, { times: number; isActive: boolean }>();
    await this.#walkL1(header.l1TableOffset, header.l1Size, 'the L1 table', tables, true);
    if (header.snapshotCount > 0) {
      try {
        const { snapshots, length } = await readSnapshotTable(storage, header);
        this.#add(header.snapshotsOffset, length, 'the snapshot table');
        for (const { l1TableOffset, l1Size, name } of snapshots) {
          await this.#walkL1(l1TableOffset, l1Size, `the L1 table of snapshot '${name}'`, tables, false);
        }
      } catch (error) {
        this.errors.add(reasonOf(error));
      }
    }
    let done = 0;
    for (const [offset, { times, isActive }] of tables) {
      await this.#walkL2(offset, times, isActive);
      this.#onProgress?.(++done, tables.size);
    }
    if (header.bitmaps) await this.#walkBitmaps(header.bitmaps);
  }

  /** Counts a range of the file; false when it does not lie in it. */
  #add(offset: number, length: number, what: string, times = 1): boolean {
    const { clusterSize } = this.#image.geometry;
    if (length === 0) return true;
    const first = Math.floor(offset / clusterSize);
    const last = Math.floor((offset + length - 1) / clusterSize);
    if (last * clusterSize >= this.#image.storage.size) {
      this.errors.add(`${what} at offset ${offset} lies past the end of the file`);
      return false;
    }
    for (let cluster = first; cluster <= last; cluster++) this.counts.add(cluster, times);
    return true;
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.#image.storage.read(offset, SegmentList.of(bytes));
    return bytes;
  }

  async #walkL1(
    offset: number,
    entries: number,
    what: string,
    tables: Map<number, { times: number; isActive: boolean }>,
    isActive: boolean,
  ): Promise<void> {
    if (!this.#add(offset, entries * 8, what)) return;
    const { clusterSize } = this.#image.geometry;
    const bytes = await this.#read(offset, entries * 8);
    const view = viewOf(bytes);
    for (let i = 0; i < entries; i++) {
      const table = entryOffset(view.getUint32(i * 8), view.getUint32(i * 8 + 4));
      if (table === 0) continue;
      if (table % clusterSize !== 0) {
        this.errors.add(`entry ${i} of ${what} points to offset ${table}, which is no cluster`);
        continue;
      }
      const known = tables.get(table);
      if (known) known.times++;
      else tables.set(table, { times: 1, isActive });
    }
  }

  /** Counts what one L2 table refers to, as often as the table itself is referred to. */
  async #walkL2(offset: number, times: number, isActive: boolean): Promise<void> {
    const { geometry } = this.#image;
    const { clusterSize, entrySize, hasDataFile } = geometry;
    if (!this.#add(offset, clusterSize, 'an L2 table', times)) return;
    const view = viewOf(await this.#read(offset, clusterSize));
    let next = -1;
    for (let at = 0; at < clusterSize; at += entrySize) {
      const entry = this.#entry.read(geometry, view, at);
      const { kind, host } = entry;
      if (kind === 'unallocated' || (kind === 'zero' && host === 0)) {
        if (entry.allocated !== 0)
          this.errors.add(`an L2 entry at offset ${offset + at} has subclusters and no cluster`);
        continue;
      }
      if (isActive) {
        this.allocatedClusters++;
        if (kind === 'compressed') this.compressedClusters++;
        if (kind === 'compressed' || (next >= 0 && host !== next)) this.fragmentedClusters++;
        next = host + clusterSize;
      }
      if (kind === 'compressed') {
        if (hasDataFile) this.errors.add(`an L2 entry at offset ${offset + at} is compressed in a data file`);
        else this.#add(host, entry.compressedLength, 'a compressed cluster', times);
        continue;
      }
      if ((entry.allocated & entry.zeroes) !== 0) {
        this.errors.add(`an L2 entry at offset ${offset + at} has subclusters that are both zero and not`);
      }
      if (host % clusterSize !== 0) {
        this.errors.add(`an L2 entry at offset ${offset + at} points to offset ${host}, which is no cluster`);
      } else if (!hasDataFile) {
        this.#add(host, clusterSize, 'a data cluster', times);
      }
    }
  }

  async #walkBitmaps({
    count,
    directoryOffset,
    directorySize,
  }: NonNullable<Qcow2Header['bitmaps']>): Promise<void> {
    const { clusterSize } = this.#image.geometry;
    if (
      directorySize > this.#image.storage.size ||
      !this.#add(directoryOffset, directorySize, 'the bitmap directory')
    ) {
      return;
    }
    const bytes = await this.#read(directoryOffset, directorySize);
    const view = viewOf(bytes);
    let at = 0;
    for (let i = 0; i < count && at + 24 <= bytes.length; i++) {
      const tableOffset = readU64(view, at);
      const tableEntries = view.getUint32(at + 8);
      if (this.#add(tableOffset, tableEntries * 8, 'a bitmap table')) {
        const table = viewOf(await this.#read(tableOffset, tableEntries * 8));
        for (let entry = 0; entry < tableEntries; entry++) {
          const offset = entryOffset(table.getUint32(entry * 8), table.getUint32(entry * 8 + 4));
          if (offset !== 0) this.#add(offset, clusterSize, 'a cluster of a bitmap');
        }
      }
      at += Math.ceil((24 + view.getUint16(at + 18) + view.getUint32(at + 20)) / 8) * 8;
    }
  }
}

export function isCopied(high: number): boolean {
  return (high & COPIED_HIGH) !== 0;
}
