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
import { type Segments, toSegments } from '../segments.ts';
import { ClusterWriter } from './cluster-writer.ts';
import { Clusters } from './clusters.ts';
import { ClusterCompressor } from './compressor.ts';
import { largestSize, type Qcow2Header } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { Run } from './mapping.ts';
import { Resizing } from './resizing.ts';
import { readSnapshots, type Snapshot } from './snapshots.ts';
import { Zeroing } from './zeroing.ts';

/** A qcow2 image as a disk. */
export class Qcow2Disk implements Disk {
  readonly format = 'qcow2';
  readonly readOnly: boolean;
  readonly image: Qcow2Image;
  /** What reads where nothing is allocated. */
  readonly backing: Disk | undefined;
  readonly #lock = new AsyncLock();
  readonly #clusters: Clusters;
  readonly #writer: ClusterWriter;
  readonly #zeroing: Zeroing;
  readonly #resizing: Resizing;
  readonly #compressor: ClusterCompressor;
  /** Done when the compressed cluster that was given last is written, or has failed. */
  #lastCompressed: Promise<void> = Promise.resolve();
  #isOpen = true;

  /** Takes over `image` and `backing`. */
  constructor(image: Qcow2Image, backing: Disk | undefined, readOnly: boolean) {
    this.image = image;
    this.backing = backing;
    this.readOnly = readOnly;
    this.#clusters = new Clusters(image, backing);
    this.#writer = new ClusterWriter(this.#clusters);
    this.#zeroing = new Zeroing(this.#clusters, this.#writer);
    this.#resizing = new Resizing(this.#clusters, this.#zeroing);
    this.#compressor = new ClusterCompressor(image.header.compressionType, image.geometry.clusterSize);
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
      await this.#clusters.read(position, segments, 0, segments.byteLength);
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
      done = await this.#clusters.overwrite(position, segments);
    } catch (error) {
      if (error instanceof DiskError && error.code === 'CORRUPT') await this.image.markCorrupt();
      throw error;
    } finally {
      this.#lock.releaseShared();
    }
    if (done === segments.byteLength) return;
    await this.#exclusively(() =>
      this.#writer.write(position + done, segments, done, segments.byteLength - done),
    );
  }

  /**
   * Writes a whole cluster compressed, or as it is when that takes no more space. A cluster that is already allocated is
   * replaced. (Compressed clusters that are written later become ordinary ones.) Several may be given at once, which must
   * not be changed before they are written: they are compressed on several threads, and go to the image in the order of the
   * calls.
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
    const compressing = this.#compressor.compress(whole);
    const written = Promise.all([compressing, this.#lastCompressed]).then(([compressed]) =>
      this.#writeCompressed(position, cluster, compressed),
    );
    this.#lastCompressed = written.catch(() => undefined);
    await written;
  }

  async #writeCompressed(
    position: number,
    cluster: Uint8Array,
    compressed: Uint8Array | undefined,
  ): Promise<void> {
    if (!compressed) {
      await this.write(position, cluster);
      return;
    }
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    await this.#exclusively(() => this.#writer.writeCompressed(position, compressed));
  }

  async discard(position: number, length: number): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    await this.#exclusively(() => this.#zeroing.zero(position, length, { isAdvice: true, mayUnmap: true }));
  }

  async writeZeroes(position: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    if (!this.image.isPrepared) await this.image.prepareToWrite();
    const { mayUnmap = true } = options;
    await this.#exclusively(() => this.#zeroing.zero(position, length, { isAdvice: false, mayUnmap }));
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    if (this.readOnly) return;
    if (this.image.needsFlush) await this.#exclusively(() => this.image.flush());
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
    await this.#exclusively(() =>
      size < this.size ? this.#resizing.shrink(size) : this.#resizing.grow(size),
    );
  }

  async extentAt(position: number): Promise<Extent> {
    this.#check(position, 1);
    const wait = this.#lock.acquireShared();
    if (wait) await wait;
    const run = new Run();
    try {
      await this.#clusters.locate(position, this.size - position, run);
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
    using _compressor = this.#compressor;
    if (!this.readOnly && !this.image.isCorrupt) await this.image.close();
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
}
