import { SegmentList, type Segments, sliceSegments } from '../segments.ts';
import type { Clusters } from './clusters.ts';
import type { Qcow2Image } from './image.ts';
import { ClusterEntry, Run, subclusterBits, writeCompressedEntry, writeDataEntry } from './mapping.ts';
import type { Slice } from './table-cache.ts';

const ALL_SUBCLUSTERS = 0xffff_ffff;
const MAX_ZEROES = 64 * 1024;
const ZEROES = SegmentList.of(new Uint8Array(MAX_ZEROES));

/** Writing where clusters have to be allocated first, or copied. Whoever calls has the image to itself. */
export class ClusterWriter {
  readonly #clusters: Clusters;
  readonly #image: Qcow2Image;
  /** Where the next compressed cluster may go on: in a host cluster that others of them already lie in. */
  #compressedEnd = 0;

  constructor(clusters: Clusters) {
    this.#clusters = clusters;
    this.#image = clusters.image;
    clusters.onCompressedFreed = () => {
      // Nothing more may be added to a cluster that may be on its way out.
      this.#compressedEnd = 0;
    };
  }

  /** Writes zeroes as data. */
  async writeZeroes(position: number, length: number): Promise<void> {
    for (let done = 0; done < length; done += MAX_ZEROES) {
      await this.write(position + done, ZEROES, 0, Math.min(MAX_ZEROES, length - done));
    }
  }

  /** Writes bytes `start` to `start + length` of the segments. */
  async write(position: number, segments: Segments, start: number, length: number): Promise<void> {
    const run = new Run();
    const scratch = new SegmentList();
    for (let done = 0; done < length; ) {
      const at = position + done;
      await this.#image.makeRoom();
      await this.#clusters.locate(at, length - done, run);
      const part = run.kind === 'data' && run.isOwned ? run.length : 0;
      if (part > 0) {
        await this.#clusters.writeData(run.host, sliceSegments(segments, start + done, part, scratch));
        done += part;
      } else {
        done += await this.#allocate(at, segments, start + done, length - done, run);
      }
    }
  }

  /**
   * Writes to clusters that are not allocated, or shared: as many as new ones can be found for in a row, within one slice
   * of the L2 table.
   * @param run what is at `position`
   * @returns the bytes written
   */
  async #allocate(
    position: number,
    segments: Segments,
    start: number,
    length: number,
    run: Run,
  ): Promise<number> {
    const image = this.#image;
    const { geometry } = image;
    const { clusterSize, unitSize, hasDataFile, hasSubclusters } = geometry;
    const within = position % clusterSize;
    const tableIndex = Math.floor(position / geometry.l2Coverage);
    const table = await image.ownL2Table(tableIndex);
    const first = await this.#clusters.entry(table, position, new ClusterEntry());
    const { isOwned } = first;
    const fallsShort = Math.min(length, image.sliceLength(position));
    let host = first.host;
    let count = 1;
    let end: number;
    if (isOwned) {
      // A cluster that was zeroed, or of which some subclusters are missing, keeps its place.
      end = position + Math.min(fallsShort, run.length, clusterSize - within);
    } else {
      const wanted = await this.#unownedClusters(
        table,
        position,
        Math.ceil((within + fallsShort) / clusterSize),
      );
      const clusters = hasDataFile
        ? { offset: position - within, count: wanted }
        : await image.refcounts.allocate(wanted);
      host = clusters.offset;
      count = clusters.count;
      end = Math.min(position + fallsShort, position - within + count * clusterSize);
    }
    const isFresh = !isOwned && !image.data.isFixedSize && host >= image.data.size;
    const lastEntry = count === 1 ? first : await this.#clusters.entry(table, end - 1, new ClusterEntry());
    const copyUnit = (entry: ClusterEntry) =>
      !hasSubclusters || entry.kind === 'compressed' || (entry.kind === 'data' && !entry.isOwned)
        ? clusterSize
        : unitSize;
    const base = position - within;
    const headStart = position - (position % copyUnit(first));
    const tailUnit = copyUnit(lastEntry);
    const tailEnd = Math.ceil(end / tailUnit) * tailUnit;
    try {
      await this.#copyUp(headStart, position - headStart, host + (headStart - base), isFresh);
      const scratch = new SegmentList();
      await this.#clusters.writeData(host + within, sliceSegments(segments, start, end - position, scratch));
      await this.#copyUp(end, tailEnd - end, host + (end - base), isFresh);
      const hostEnd = host + count * clusterSize;
      if (isFresh && !hasDataFile && image.data.size < hostEnd) await image.data.resize(hostEnd);
    } catch (error) {
      if (!isOwned && !hasDataFile) image.free(host, count, false);
      throw error;
    }
    const slice = await this.#slice(table, position);
    for (let i = 0; i < count; i++) {
      const cluster = base + i * clusterSize;
      const from = Math.max(headStart, cluster) - cluster;
      const to = Math.min(tailEnd, cluster + clusterSize) - cluster;
      this.#mapCluster(slice, cluster, host + i * clusterSize, from, to);
    }
    return end - position;
  }

  /** How many clusters in a row, of `limit` in one slice, have no host cluster that could be written in place. */
  async #unownedClusters(table: number, position: number, limit: number): Promise<number> {
    const { geometry } = this.#image;
    const { scratchEntry } = this.#clusters;
    const { view } = await this.#slice(table, position);
    const offset = this.#image.l2EntryOffset(position);
    let count = 1;
    for (; count < limit; count++) {
      if (scratchEntry.read(geometry, view, offset + count * geometry.entrySize).isOwned) break;
    }
    return count;
  }

  /** For use until the next wait. */
  async #slice(table: number, position: number): Promise<Slice> {
    return await this.#image.l2Slice(table, position);
  }

  /** Makes bytes `from` to `to` of a cluster of the disk lie in `host`, and drops what was there. */
  #mapCluster(slice: Slice, cluster: number, host: number, from: number, to: number): void {
    const image = this.#image;
    const { geometry } = image;
    const offset = image.l2EntryOffset(cluster);
    const old = this.#clusters.scratchEntry.read(geometry, slice.view, offset);
    const isWhole = from === 0 && to === geometry.clusterSize;
    const written = subclusterBits(geometry, from, to);
    const allocated = isWhole ? ALL_SUBCLUSTERS : old.allocated | written;
    const zeroes = isWhole ? 0 : old.zeroes & ~written;
    if (!(old.isOwned && old.host === host)) this.#clusters.free(old, false);
    writeDataEntry(geometry, slice.view, offset, host, allocated, zeroes);
    image.l2.markDirty(slice);
  }

  /**
   * Copies what the disk reads as, before a write changes it, to the host cluster that the write goes to.
   * @param isFresh the host cluster reads as zero
   */
  async #copyUp(position: number, length: number, host: number, isFresh: boolean): Promise<void> {
    if (length === 0) return;
    const run = new Run();
    await this.#clusters.locate(position, length, run);
    const isEmpty = run.kind === 'unallocated' && this.#clusters.backedLength(position, run.length) === 0;
    if (run.length === length && (isEmpty || run.kind === 'zero')) {
      if (isFresh) return;
      for (let done = 0; done < length; done += MAX_ZEROES) {
        const part = Math.min(MAX_ZEROES, length - done);
        await this.#clusters.writeData(host + done, sliceSegments(ZEROES, 0, part, new SegmentList()));
      }
      return;
    }
    const segments = SegmentList.of(new Uint8Array(length));
    await this.#clusters.read(position, segments, 0, length);
    await this.#clusters.writeData(host, segments);
  }

  async writeCompressed(position: number, compressed: Uint8Array): Promise<void> {
    const image = this.#image;
    const { geometry } = image;
    await image.makeRoom();
    const table = await image.ownL2Table(Math.floor(position / geometry.l2Coverage));
    const host = await this.#allocateBytes(compressed.length);
    try {
      await image.storage.write(host, SegmentList.of(compressed));
    } catch (error) {
      const first = Math.floor(host / geometry.clusterSize);
      const last = Math.floor((host + compressed.length - 1) / geometry.clusterSize);
      image.free(host, last - first + 1, false);
      throw error;
    }
    const slice = await this.#slice(table, position);
    const offset = image.l2EntryOffset(position);
    this.#clusters.free(this.#clusters.scratchEntry.read(geometry, slice.view, offset), false);
    this.#compressedEnd = host + compressed.length;
    writeCompressedEntry(geometry, slice.view, offset, host, compressed.length);
    image.l2.markDirty(slice);
  }

  /** Room for compressed data, if possible behind the last of it, for which its clusters are counted once more. */
  async #allocateBytes(length: number): Promise<number> {
    const { refcounts, geometry } = this.#image;
    const { clusterSize } = geometry;
    const end = this.#compressedEnd;
    const room = end === 0 ? 0 : Math.ceil(end / clusterSize) * clusterSize - end;
    if (room >= length && (await refcounts.increment(Math.floor(end / clusterSize)))) return end;
    const { offset } = await refcounts.allocate(1);
    const isNext = room > 0 && room < length && offset === end + room;
    if (isNext && (await refcounts.increment(Math.floor(end / clusterSize)))) return end;
    return offset;
  }
}
