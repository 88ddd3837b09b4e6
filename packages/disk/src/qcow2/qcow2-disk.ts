import {
  checkRange,
  checkWritable,
  type Disk,
  type Extent,
  isWholeNumber,
  type WriteZeroesOptions,
} from '../disk.ts';
import { DiskError } from '../errors.ts';
import { AsyncLock } from '../lock.ts';
import { SegmentList, type Segments, scatter, sliceSegments, toSegments, zeroSegments } from '../segments.ts';
import { compressCluster, decompressCluster } from './compression.ts';
import { Autoclear } from './features.ts';
import { largestSize, type Qcow2Header, requiredL1Size } from './header.ts';
import type { Qcow2Image } from './image.ts';
import {
  ClusterEntry,
  locate,
  Run,
  subclusterBits,
  writeCompressedEntry,
  writeDataEntry,
  writeEmptyEntry,
  writeZeroFlag,
} from './mapping.ts';
import { readSnapshots, type Snapshot } from './snapshots.ts';

/** Decompressed clusters that are kept: readers ask for a cluster piece by piece. */
const DECOMPRESSED_CLUSTERS = 4;
const ALL_SUBCLUSTERS = 0xffff_ffff;
const MAX_ZEROES = 64 * 1024;
const ZEROES = SegmentList.of(new Uint8Array(MAX_ZEROES));

/** How a range is to become zero. */
interface ZeroMode {
  /** It need not become zero. */
  readonly isAdvice: boolean;
  readonly mayUnmap: boolean;
}

/** A qcow2 image as a disk. */
export class Qcow2Disk implements Disk {
  readonly format = 'qcow2';
  readonly readOnly: boolean;
  readonly image: Qcow2Image;
  /** What reads where nothing is allocated. */
  readonly backing: Disk | undefined;
  readonly #lock = new AsyncLock();
  readonly #isRawData: boolean;
  readonly #decompressed = new Map<number, Uint8Array>();
  /** Where the next compressed cluster may go on: in a host cluster that others of them already lie in. */
  #compressedEnd = 0;
  #isOpen = true;

  /** Takes over `image` and `backing`. */
  constructor(image: Qcow2Image, backing: Disk | undefined, readOnly: boolean) {
    this.image = image;
    this.backing = backing;
    this.readOnly = readOnly;
    this.#isRawData =
      image.geometry.hasDataFile && (image.header.autoclear & Autoclear.rawExternalData) !== 0;
  }

  get size(): number {
    return this.image.header.size;
  }

  /** Bytes of a cluster, or of a subcluster: smaller writes to unallocated parts copy what is around them. */
  get blockSize(): number {
    return this.image.geometry.unitSize;
  }

  get header(): Readonly<Qcow2Header> {
    return this.image.header;
  }

  /** The internal snapshots, oldest first. */
  async snapshots(): Promise<readonly Snapshot[]> {
    this.#check(0, 0);
    return await readSnapshots(this.image.storage, this.image.header);
  }

  async read(position: number, target: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(target);
    this.#check(position, segments.byteLength);
    const wait = this.#lock.acquireShared();
    if (wait) await wait;
    try {
      await this.#read(position, segments, 0, segments.byteLength);
    } finally {
      this.#lock.releaseShared();
    }
  }

  async write(position: number, source: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(source);
    this.#check(position, segments.byteLength);
    checkWritable(this);
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    const wait = this.#lock.acquireShared();
    if (wait) await wait;
    let done = 0;
    try {
      done = await this.#overwrite(position, segments);
    } catch (error) {
      if (error instanceof DiskError && error.code === 'CORRUPT') await this.image.markCorrupt();
      throw error;
    } finally {
      this.#lock.releaseShared();
    }
    if (done === segments.byteLength) return;
    await this.#exclusively(() => this.#write(position + done, segments, done, segments.byteLength - done));
  }

  /**
   * Writes a whole cluster compressed, or as it is when that takes no more space. A cluster that is already allocated is
   * replaced. (Compressed clusters that are written later become ordinary ones.)
   * @param position a multiple of the cluster size; the last cluster of the disk may be cut off
   */
  async writeCompressed(position: number, cluster: Uint8Array): Promise<void> {
    const { clusterSize, hasDataFile } = this.image.geometry;
    this.#check(position, cluster.length);
    checkWritable(this);
    if (position % clusterSize !== 0 || cluster.length !== Math.min(clusterSize, this.size - position)) {
      throw new DiskError('BAD_OPTION', `Only whole clusters of ${clusterSize} bytes can be compressed.`);
    }
    if (hasDataFile) {
      throw new DiskError('UNSUPPORTED', 'An external data file holds no compressed clusters.');
    }
    let whole = cluster;
    if (cluster.length < clusterSize) {
      whole = new Uint8Array(clusterSize);
      whole.set(cluster);
    }
    const compressed = await compressCluster(this.header.compressionType, whole);
    if (!compressed) {
      await this.write(position, cluster);
      return;
    }
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    await this.#exclusively(() => this.#writeCompressed(position, compressed));
  }

  async discard(position: number, length: number): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    await this.#exclusively(() => this.#zero(position, length, { isAdvice: true, mayUnmap: true }));
  }

  async writeZeroes(position: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    const { mayUnmap = true } = options;
    await this.#exclusively(() => this.#zero(position, length, { isAdvice: false, mayUnmap }));
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    if (this.readOnly) return;
    if (this.image.hasDirtyMetadata) await this.#exclusively(() => this.image.writeBack());
    else await this.image.data.sync();
  }

  async resize(size: number): Promise<void> {
    this.#check(0, 0);
    checkWritable(this);
    const largest = largestSize(this.header);
    if (!isWholeNumber(size) || size > largest) {
      throw new DiskError('BAD_OPTION', `This image can have up to ${largest} bytes, not ${size}.`);
    }
    if (this.header.snapshotCount > 0 && this.header.version < 3) {
      throw new DiskError('UNSUPPORTED', 'An image of version 2 that has snapshots cannot be resized.');
    }
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    await this.#exclusively(() => (size < this.size ? this.#shrink(size) : this.#grow(size)));
  }

  async extentAt(position: number): Promise<Extent> {
    this.#check(position, 1);
    const wait = this.#lock.acquireShared();
    if (wait) await wait;
    const run = new Run();
    try {
      await this.#locate(position, this.size - position, run);
    } finally {
      this.#lock.releaseShared();
    }
    const { kind, length, host } = run;
    if (kind === 'data') return { kind, length, depth: 0, offset: host };
    if (kind === 'compressed') return { kind: 'data', length, depth: 0, compressed: true };
    if (kind === 'zero') return { kind, length, depth: 0 };
    if (!this.backing || position >= this.backing.size) return { kind: 'unallocated', length, depth: 0 };
    const below = await this.backing.extentAt(position);
    return { ...below, length: Math.min(length, below.length), depth: below.depth + 1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { storage, data } = this.image;
    await using _backing = this.backing;
    await using _storage = storage;
    await using _data = data === storage ? undefined : data;
    if (!this.readOnly && !this.image.isCorrupt) await this.image.writeBack();
  }

  #check(position: number, length: number): void {
    if (!this.#isOpen) throw new DiskError('CLOSED', `${this.image.storage.name} was closed.`);
    checkRange(this, position, length);
  }

  async #exclusively<T>(action: () => Promise<T>): Promise<T> {
    const wait = this.#lock.acquireExclusive();
    if (wait) await wait;
    try {
      return await action();
    } catch (error) {
      if (error instanceof DiskError && error.code === 'CORRUPT') await this.image.markCorrupt();
      throw error;
    } finally {
      this.#lock.releaseExclusive();
    }
  }

  /** What the disk is from `position` on, for at most `limit` bytes. */
  async #locate(position: number, limit: number, run: Run): Promise<void> {
    const { image } = this;
    const { l2Coverage, clusterSize } = image.geometry;
    const table = image.l2TableOffset(Math.floor(position / l2Coverage));
    if (table === 0) {
      run.kind = 'unallocated';
      run.length = Math.min(limit, l2Coverage - (position % l2Coverage));
      return;
    }
    const got = image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    if (!locate(image.geometry, slice.view, position, limit, run)) {
      const cluster = position - (position % clusterSize);
      throw image.corruption(`the L2 entry for position ${cluster} of the disk contradicts itself`);
    }
  }

  /** Fills bytes `start` to `start + length` of the segments. What lies past the end of the disk is zero. */
  async #read(position: number, segments: Segments, start: number, length: number): Promise<void> {
    const run = new Run();
    const scratch = new SegmentList();
    for (let done = 0; done < length; done += run.length) {
      const at = position + done;
      await this.#locate(at, length - done, run);
      if (run.kind === 'data') {
        const part = sliceSegments(segments, start + done, run.length, scratch);
        const pending = this.image.data.read(run.host, part);
        if (pending) await pending;
      } else if (run.kind === 'compressed') {
        const cluster = await this.#decompress(run.host, run.compressedLength, at);
        const within = at % this.image.geometry.clusterSize;
        scatter(segments, start + done, cluster.subarray(within, within + run.length));
      } else {
        const fromBacking = run.kind === 'zero' ? 0 : this.#backedLength(at, run.length);
        if (fromBacking > 0 && this.backing) {
          await this.backing.read(at, sliceSegments(segments, start + done, fromBacking, scratch));
        }
        zeroSegments(segments, start + done + fromBacking, run.length - fromBacking);
      }
    }
  }

  /** How many of `length` bytes from `position` on the backing image has. */
  #backedLength(position: number, length: number): number {
    return this.backing ? Math.max(0, Math.min(length, this.backing.size - position)) : 0;
  }

  async #decompress(host: number, length: number, position: number): Promise<Uint8Array> {
    const cached = this.#decompressed.get(host);
    if (cached) return cached;
    const { image } = this;
    const bytes = new Uint8Array(length);
    await image.storage.read(host, SegmentList.of(bytes));
    const cluster = decompressCluster(image.header.compressionType, bytes, image.geometry.clusterSize);
    if (!cluster) {
      throw new DiskError(
        'BAD_IMAGE',
        `${image.storage.name}: the compressed cluster at offset ${host}, for position ${position} of the disk, ` +
          `is no ${image.header.compressionType} data.`,
      );
    }
    const oldest = this.#decompressed.keys().next();
    if (this.#decompressed.size >= DECOMPRESSED_CLUSTERS && !oldest.done) {
      this.#decompressed.delete(oldest.value);
    }
    this.#decompressed.set(host, cluster);
    return cluster;
  }

  /** Writes as far as everything is allocated and belongs to this image alone. @returns the bytes written */
  async #overwrite(position: number, segments: Segments): Promise<number> {
    const run = new Run();
    const scratch = new SegmentList();
    const length = segments.byteLength;
    let done = 0;
    while (done < length) {
      await this.#locate(position + done, length - done, run);
      if (run.kind !== 'data' || !run.isOwned) break;
      await this.#writeData(run.host, sliceSegments(segments, done, run.length, scratch));
      done += run.length;
    }
    return done;
  }

  async #writeData(host: number, segments: Segments): Promise<void> {
    const { image } = this;
    if (image.data === image.storage) image.assertNoMetadata(host, segments.byteLength);
    const pending = image.data.write(host, segments);
    if (pending) await pending;
  }

  async #write(position: number, segments: Segments, start: number, length: number): Promise<void> {
    const run = new Run();
    const scratch = new SegmentList();
    for (let done = 0; done < length; ) {
      const at = position + done;
      await this.image.makeRoom();
      await this.#locate(at, length - done, run);
      const part = run.kind === 'data' && run.isOwned ? run.length : 0;
      if (part > 0) {
        await this.#writeData(run.host, sliceSegments(segments, start + done, part, scratch));
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
    const { image } = this;
    const { geometry } = image;
    const { clusterSize, unitSize, hasDataFile, hasSubclusters } = geometry;
    const within = position % clusterSize;
    const tableIndex = Math.floor(position / geometry.l2Coverage);
    const table = await image.ownL2Table(tableIndex);
    const first = await this.#entry(table, position, new ClusterEntry());
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
    const lastEntry = count === 1 ? first : await this.#entry(table, end - 1, new ClusterEntry());
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
      await this.#writeData(host + within, sliceSegments(segments, start, end - position, scratch));
      await this.#copyUp(end, tailEnd - end, host + (end - base), isFresh);
      const hostEnd = host + count * clusterSize;
      if (isFresh && !hasDataFile && image.data.size < hostEnd) await image.data.resize(hostEnd);
    } catch (error) {
      if (!isOwned && !hasDataFile) image.free(host, count, false);
      throw error;
    }
    for (let i = 0; i < count; i++) {
      const cluster = base + i * clusterSize;
      const from = Math.max(headStart, cluster) - cluster;
      const to = Math.min(tailEnd, cluster + clusterSize) - cluster;
      await this.#mapCluster(table, cluster, host + i * clusterSize, from, to);
    }
    return end - position;
  }

  /** How many clusters in a row, of `limit`, have no host cluster that could be written in place. */
  async #unownedClusters(table: number, position: number, limit: number): Promise<number> {
    let count = 1;
    for (; count < limit; count++) {
      const entry = await this.#entry(table, position + count * this.image.geometry.clusterSize);
      if (entry.isOwned) break;
    }
    return count;
  }

  /** The L2 entry for `position`. */
  async #entry(table: number, position: number, entry = this.#scratchEntry): Promise<ClusterEntry> {
    const got = this.image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    return entry.read(this.image.geometry, slice.view, this.image.l2EntryOffset(position));
  }
  readonly #scratchEntry = new ClusterEntry();

  /** Makes bytes `from` to `to` of a cluster of the disk lie in `host`, and drops what was there. */
  async #mapCluster(table: number, cluster: number, host: number, from: number, to: number): Promise<void> {
    const { image } = this;
    const { geometry } = image;
    const got = image.l2Slice(table, cluster);
    const slice = got instanceof Promise ? await got : got;
    const offset = image.l2EntryOffset(cluster);
    const old = this.#scratchEntry.read(geometry, slice.view, offset);
    const isWhole = from === 0 && to === geometry.clusterSize;
    const written = subclusterBits(geometry, from, to);
    const allocated = isWhole ? ALL_SUBCLUSTERS : old.allocated | written;
    const zeroes = isWhole ? 0 : old.zeroes & ~written;
    if (!(old.isOwned && old.host === host)) this.#free(old, false);
    writeDataEntry(geometry, slice.view, offset, host, allocated, zeroes);
    image.l2.markDirty(slice);
  }

  /** Drops an L2 entry's reference. */
  #free(old: ClusterEntry, punch: boolean): void {
    const { image } = this;
    const { clusterSize, hasDataFile } = image.geometry;
    if (hasDataFile || old.host === 0) return;
    if (old.kind === 'compressed') {
      this.#decompressed.clear();
      const first = Math.floor(old.host / clusterSize);
      const last = Math.floor((old.host + old.compressedLength - 1) / clusterSize);
      // Nothing more may be added to a cluster that may be on its way out.
      this.#compressedEnd = 0;
      image.free(first * clusterSize, last - first + 1, punch);
    } else {
      image.free(old.host, 1, punch);
    }
  }

  /**
   * Copies what the disk reads as, before a write changes it, to the host cluster that the write goes to.
   * @param isFresh the host cluster reads as zero
   */
  async #copyUp(position: number, length: number, host: number, isFresh: boolean): Promise<void> {
    if (length === 0) return;
    const run = new Run();
    await this.#locate(position, length, run);
    const isEmpty = run.kind === 'unallocated' && this.#backedLength(position, run.length) === 0;
    if (run.length === length && (isEmpty || run.kind === 'zero')) {
      if (isFresh) return;
      for (let done = 0; done < length; done += MAX_ZEROES) {
        const part = Math.min(MAX_ZEROES, length - done);
        await this.#writeData(host + done, sliceSegments(ZEROES, 0, part, new SegmentList()));
      }
      return;
    }
    const segments = SegmentList.of(new Uint8Array(length));
    await this.#read(position, segments, 0, length);
    await this.#writeData(host, segments);
  }

  async #writeCompressed(position: number, compressed: Uint8Array): Promise<void> {
    const { image } = this;
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
    const got = image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    const offset = image.l2EntryOffset(position);
    this.#free(this.#scratchEntry.read(geometry, slice.view, offset), false);
    this.#compressedEnd = host + compressed.length;
    writeCompressedEntry(geometry, slice.view, offset, host, compressed.length);
    image.l2.markDirty(slice);
  }

  /** Room for compressed data, if possible behind the last of it, for which its clusters are counted once more. */
  async #allocateBytes(length: number): Promise<number> {
    const { refcounts, geometry } = this.image;
    const { clusterSize } = geometry;
    const end = this.#compressedEnd;
    const room = end === 0 ? 0 : Math.ceil(end / clusterSize) * clusterSize - end;
    if (room >= length && (await refcounts.increment(Math.floor(end / clusterSize)))) return end;
    const { offset } = await refcounts.allocate(1);
    const isNext = room > 0 && room < length && offset === end + room;
    if (isNext && (await refcounts.increment(Math.floor(end / clusterSize)))) return end;
    return offset;
  }

  async #zero(position: number, length: number, mode: ZeroMode): Promise<void> {
    const { image } = this;
    const { geometry } = image;
    const { l2Coverage, unitSize } = geometry;
    if (this.#isRawData) {
      // The data file alone, without the tables, has to read as zero.
      if (mode.mayUnmap) await image.data.punchHole(position, length);
      else await image.data.zero(position, length);
      return;
    }
    for (let done = 0; done < length; ) {
      await image.makeRoom();
      const at = position + done;
      const tableIndex = Math.floor(at / l2Coverage);
      const isMapped = image.l2TableOffset(tableIndex) !== 0;
      if (!isMapped && (mode.isAdvice || this.#backedLength(at, l2Coverage) === 0)) {
        done += Math.min(length - done, l2Coverage - (at % l2Coverage));
        continue;
      }
      const left = Math.min(length - done, image.sliceLength(at));
      const toUnit = (unitSize - (at % unitSize)) % unitSize;
      // The last unit of the disk may be cut off: zeroing all of it zeroes what is there.
      const isEnd = at + left === this.size;
      const whole = isEnd
        ? Math.ceil((left - toUnit) / unitSize) * unitSize
        : left - toUnit - ((left - toUnit) % unitSize);
      if (toUnit > 0 || whole <= 0) {
        const part = toUnit > 0 ? Math.min(toUnit, left) : left;
        if (!mode.isAdvice) await this.#zeroPart(at, part);
        done += part;
      } else {
        await this.#zeroUnits(at, whole, left, mode);
        done += Math.min(left, whole);
      }
    }
  }

  /** Zeroes less than a unit, if it is not zero already. */
  async #zeroPart(position: number, length: number): Promise<void> {
    const run = new Run();
    await this.#locate(position, length, run);
    if (run.kind === 'zero') return;
    if (run.kind === 'unallocated' && this.#backedLength(position, length) === 0) return;
    for (let done = 0; done < length; done += MAX_ZEROES) {
      await this.#write(position + done, ZEROES, 0, Math.min(MAX_ZEROES, length - done));
    }
  }

  /** Zeroes whole units within a slice of an L2 table, of which the first `limit` bytes matter. */
  async #zeroUnits(position: number, length: number, limit: number, mode: ZeroMode): Promise<void> {
    const { image } = this;
    const { clusterSize } = image.geometry;
    const table = await image.ownL2Table(Math.floor(position / image.geometry.l2Coverage));
    for (let done = 0; done < length; ) {
      const at = position + done;
      const part = Math.min(length - done, clusterSize - (at % clusterSize));
      const isWritten = await this.#zeroEntry(table, at, part, mode);
      if (!isWritten && !mode.isAdvice) await this.#zeroPart(at, Math.min(part, limit - done));
      done += part;
    }
  }

  /**
   * Zeroes whole units of a cluster by changing its L2 entry.
   * @returns false when its data has to be overwritten instead
   */
  async #zeroEntry(table: number, position: number, length: number, mode: ZeroMode): Promise<boolean> {
    const { image } = this;
    const { geometry } = image;
    const { clusterSize, hasSubclusters, hasZeroFlag, hasDataFile } = geometry;
    const got = image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    const offset = image.l2EntryOffset(position);
    const entry = this.#scratchEntry.read(geometry, slice.view, offset);
    const isBacked = this.#backedLength(position, length) > 0;
    const isWhole = length === clusterSize;
    if (hasSubclusters) {
      if (!isWhole && entry.kind === 'compressed') return false;
      const within = position % clusterSize;
      const bits = subclusterBits(geometry, within, within + length);
      const allocated = isWhole ? 0 : entry.allocated & ~bits;
      const keepsHost = !isWhole || (!mode.mayUnmap && entry.isOwned);
      if (entry.kind !== 'compressed' && entry.allocated === 0 && !isBacked && mode.isAdvice) return true;
      if (entry.kind === 'unallocated' && entry.zeroes === 0 && !isBacked) return true;
      if (!keepsHost) {
        if (hasDataFile && entry.isOwned) await image.data.punchHole(entry.host, clusterSize);
        else this.#free(entry, true);
        writeEmptyEntry(geometry, slice.view, offset, isBacked);
      } else {
        slice.view.setUint32(offset + 8, (isWhole ? ALL_SUBCLUSTERS : entry.zeroes | bits) >>> 0);
        slice.view.setUint32(offset + 12, allocated >>> 0);
      }
      image.l2.markDirty(slice);
      return true;
    }
    if (entry.kind === 'unallocated' && !isBacked) return true;
    if (entry.kind === 'zero' && (entry.host === 0 || !mode.mayUnmap)) return true;
    if (isBacked && !hasZeroFlag) return false;
    if (!mode.mayUnmap && entry.isOwned) {
      if (!hasZeroFlag) return false;
      writeZeroFlag(slice.view, offset);
    } else {
      if (hasDataFile && entry.isOwned) await image.data.punchHole(entry.host, clusterSize);
      else this.#free(entry, true);
      writeEmptyEntry(geometry, slice.view, offset, isBacked);
    }
    image.l2.markDirty(slice);
    return true;
  }

  async #grow(size: number): Promise<void> {
    const { image } = this;
    const { clusterSize } = image.geometry;
    const old = this.size;
    if (size === old) return;
    const entries = requiredL1Size(this.header, size);
    if (entries > this.header.l1Size) {
      const clusters = Math.ceil((entries * 8) / clusterSize);
      const offset = await image.refcounts.allocateContiguous(clusters);
      await image.writeBack();
      const table = image.copyL1((clusters * clusterSize) / 8);
      await image.storage.write(offset, SegmentList.of(table));
      await image.writeBack();
      await image.switchL1(table.subarray(0, entries * 8), offset, old);
    }
    // What the last cluster holds past the old end, and what a larger backing image has there, is not to be seen.
    const inCluster = Math.min(size, Math.ceil(old / clusterSize) * clusterSize);
    const backed = this.backing ? Math.min(size, this.backing.size) : 0;
    const end = Math.max(inCluster, backed);
    if (end > old) await this.#zero(old, end - old, { isAdvice: false, mayUnmap: true });
    if (this.#isRawData && image.data.size < size && !image.data.isFixedSize) await image.data.resize(size);
    await image.writeBack();
    await image.writeSize(size);
  }

  async #shrink(size: number): Promise<void> {
    const { image } = this;
    const { clusterSize } = image.geometry;
    const start = Math.ceil(size / clusterSize) * clusterSize;
    if (start < this.size) {
      if (this.#isRawData) await image.data.punchHole(start, this.size - start);
      await this.#unmap(start, this.size);
    }
    await image.writeBack();
    await image.writeSize(size);
    image.dropL2Tables(requiredL1Size(this.header, size));
    await image.writeBack();
    if (this.#isRawData && !image.data.isFixedSize) await image.data.resize(size);
  }

  /** Drops whole clusters, so that nothing is left of them, not even a zero flag. */
  async #unmap(start: number, end: number): Promise<void> {
    const { image } = this;
    const { geometry } = image;
    const { l2Coverage, clusterSize } = geometry;
    for (let at = start; at < end; ) {
      const tableIndex = Math.floor(at / l2Coverage);
      if (image.l2TableOffset(tableIndex) === 0) {
        at += l2Coverage - (at % l2Coverage);
        continue;
      }
      await image.makeRoom();
      const table = await image.ownL2Table(tableIndex);
      const got = image.l2Slice(table, at);
      const slice = got instanceof Promise ? await got : got;
      const offset = image.l2EntryOffset(at);
      this.#free(this.#scratchEntry.read(geometry, slice.view, offset), true);
      writeEmptyEntry(geometry, slice.view, offset, false);
      image.l2.markDirty(slice);
      at += clusterSize;
    }
  }
}
