import type { Disk } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { SegmentList, type Segments, scatter, sliceSegments, zeroSegments } from '../segments.ts';
import { decompressCluster, decompressInPool } from './compression.ts';
import type { Qcow2Image } from './image.ts';
import { ClusterEntry, locate, Run } from './mapping.ts';

/** Decompressed clusters that are kept: readers ask for a cluster piece by piece. */
const DECOMPRESSED_CLUSTERS = 4;
/** Clusters that a long read decompresses at once: more than the thread pool has threads, so that none of them waits. */
const MAX_DECOMPRESSING = 8;

/**
 * The clusters that a disk is made of, where they are: finding them, reading them, writing those in place that may be.
 * Whoever calls sees to it that nothing is allocated or freed meanwhile.
 */
export class Clusters {
  readonly image: Qcow2Image;
  /** What reads where nothing is allocated. */
  readonly backing: Disk | undefined;
  /** For use until the next wait, so that entries are decoded without an allocation. */
  readonly scratchEntry = new ClusterEntry();
  /** Called when compressed data is dropped. */
  onCompressedFreed: () => void = () => undefined;
  readonly #decompressed = new Map<number, Uint8Array>();

  constructor(image: Qcow2Image, backing: Disk | undefined) {
    this.image = image;
    this.backing = backing;
  }

  /** What the disk is from `position` on, for at most `limit` bytes. */
  async locate(position: number, limit: number, run: Run): Promise<void> {
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
  async read(position: number, segments: Segments, start: number, length: number): Promise<void> {
    const run = new Run();
    const scratch = new SegmentList();
    const decompressing = new Decompressing();
    try {
      for (let done = 0; done < length; done += run.length) {
        const at = position + done;
        await this.locate(at, length - done, run);
        if (run.kind === 'data') {
          const part = sliceSegments(segments, start + done, run.length, scratch);
          const pending = this.image.data.read(run.host, part);
          if (pending) await pending;
        } else if (run.kind === 'compressed') {
          const within = at % this.image.geometry.clusterSize;
          const [offset, end] = [start + done, within + run.length];
          if (length === run.length) {
            const cluster = await this.#decompress(run.host, run.compressedLength, at);
            scatter(segments, offset, cluster.subarray(within, end));
          } else {
            const cluster = this.#decompressOnce(run.host, run.compressedLength, at);
            await decompressing.add(
              cluster.then((bytes) => scatter(segments, offset, bytes.subarray(within, end))),
            );
          }
        } else {
          const fromBacking = run.kind === 'zero' ? 0 : this.backedLength(at, run.length);
          if (fromBacking > 0 && this.backing) {
            await this.backing.read(at, sliceSegments(segments, start + done, fromBacking, scratch));
          }
          zeroSegments(segments, start + done + fromBacking, run.length - fromBacking);
        }
      }
    } finally {
      await decompressing.settle();
    }
    decompressing.check();
  }

  /** How many of `length` bytes from `position` on the backing image has. */
  backedLength(position: number, length: number): number {
    return this.backing ? Math.max(0, Math.min(length, this.backing.size - position)) : 0;
  }

  /** A decompressed cluster, which is kept for the next one who reads a part of it. */
  async #decompress(host: number, length: number, position: number): Promise<Uint8Array> {
    const cached = this.#decompressed.get(host);
    if (cached) return cached;
    const { image } = this;
    const bytes = await this.#compressedBytes(host, length);
    const { clusterSize } = image.geometry;
    const cluster = decompressCluster(image.header.compressionType, bytes, clusterSize);
    if (!cluster) throw this.#notCompressed(host, position);
    const oldest = this.#decompressed.keys().next();
    if (this.#decompressed.size >= DECOMPRESSED_CLUSTERS && !oldest.done) {
      this.#decompressed.delete(oldest.value);
    }
    this.#decompressed.set(host, cluster);
    return cluster;
  }

  async #decompressOnce(host: number, length: number, position: number): Promise<Uint8Array> {
    const { image } = this;
    const bytes = await this.#compressedBytes(host, length);
    const { clusterSize } = image.geometry;
    const cluster = await decompressInPool(image.header.compressionType, bytes, clusterSize);
    if (!cluster) throw this.#notCompressed(host, position);
    return cluster;
  }

  async #compressedBytes(host: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const pending = this.image.storage.read(host, SegmentList.of(bytes));
    if (pending) await pending;
    return bytes;
  }

  #notCompressed(host: number, position: number): DiskError {
    const { storage, header } = this.image;
    return new DiskError(
      'BAD_IMAGE',
      `${storage.name}: the compressed cluster at offset ${host}, for position ${position} of the disk, ` +
        `is no ${header.compressionType} data.`,
    );
  }

  /** Writes as far as everything is allocated and belongs to this image alone. @returns the bytes written */
  async overwrite(position: number, segments: Segments): Promise<number> {
    const run = new Run();
    const scratch = new SegmentList();
    const length = segments.byteLength;
    let done = 0;
    while (done < length) {
      await this.locate(position + done, length - done, run);
      if (run.kind !== 'data' || !run.isOwned) break;
      await this.writeData(run.host, sliceSegments(segments, done, run.length, scratch));
      done += run.length;
    }
    return done;
  }

  async writeData(host: number, segments: Segments): Promise<void> {
    const { image } = this;
    if (image.data === image.storage) image.assertNoMetadata(host, segments.byteLength);
    const pending = image.data.write(host, segments);
    if (pending) await pending;
  }

  /** The L2 entry for `position`. */
  async entry(table: number, position: number, entry = this.scratchEntry): Promise<ClusterEntry> {
    const got = this.image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    return entry.read(this.image.geometry, slice.view, this.image.l2EntryOffset(position));
  }

  /** Drops an L2 entry's reference. */
  free(old: ClusterEntry, punch: boolean): void {
    const { image } = this;
    const { clusterSize, hasDataFile } = image.geometry;
    if (hasDataFile || old.host === 0) return;
    if (old.kind === 'compressed') {
      this.#decompressed.clear();
      const first = Math.floor(old.host / clusterSize);
      const last = Math.floor((old.host + old.compressedLength - 1) / clusterSize);
      this.onCompressedFreed();
      image.free(first * clusterSize, last - first + 1, punch);
    } else {
      image.free(old.host, 1, punch);
    }
  }
}

/** What a read has under way on the thread pool. It must be done, for better or worse, before the read is. */
class Decompressing {
  #tasks: Promise<void>[] = [];
  #failure: { readonly cause: unknown } | undefined;

  /** Waits only when a lot is under way. */
  async add(task: Promise<void>): Promise<void> {
    this.#tasks.push(
      task.catch((cause: unknown) => {
        this.#failure ??= { cause };
      }),
    );
    if (this.#tasks.length >= MAX_DECOMPRESSING) await this.settle();
  }

  async settle(): Promise<void> {
    await Promise.all(this.#tasks);
    this.#tasks = [];
  }

  /** Throws what the first task that failed threw. */
  check(): void {
    if (this.#failure) throw this.#failure.cause;
  }
}
