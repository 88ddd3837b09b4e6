import { SegmentList } from '../segments.ts';
import type { Clusters } from './clusters.ts';
import { isRawData, requiredL1Size } from './header.ts';
import { writeEmptyEntry } from './mapping.ts';
import type { Zeroing } from './zeroing.ts';

/** Changing the size of a disk. Whoever calls has the image to itself. */
export class Resizing {
  readonly #clusters: Clusters;
  readonly #zeroing: Zeroing;

  constructor(clusters: Clusters, zeroing: Zeroing) {
    this.#clusters = clusters;
    this.#zeroing = zeroing;
  }

  async grow(size: number): Promise<void> {
    const { image, backing } = this.#clusters;
    const { clusterSize } = image.geometry;
    const old = image.header.size;
    if (size === old) return;
    await this.#unmapFrom(old);
    const entries = requiredL1Size(image.header, size);
    if (entries > image.header.l1Size) {
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
    const backed = backing ? Math.min(size, backing.size) : 0;
    const end = Math.max(inCluster, backed);
    if (end > old) await this.#zeroing.zero(old, end - old, { isAdvice: false, mayUnmap: true });
    if (isRawData(image.header) && image.data.size < size && !image.data.isFixedSize)
      await image.data.resize(size);
    await image.writeBack();
    await image.writeSize(size);
  }

  async shrink(size: number): Promise<void> {
    const { image } = this.#clusters;
    const { clusterSize } = image.geometry;
    const start = Math.ceil(size / clusterSize) * clusterSize;
    if (start < image.header.size && isRawData(image.header)) {
      await image.data.punchHole(start, image.header.size - start);
    }
    await this.#unmapFrom(size);
    await image.writeBack();
    await image.writeSize(size);
    image.dropL2Tables(requiredL1Size(image.header, size));
    await image.writeBack();
    if (isRawData(image.header) && !image.data.isFixedSize) await image.data.resize(size);
  }

  /**
   * Drops all clusters past an end of the disk, so that nothing is left of them, not even a zero flag. The tables may map
   * more than the disk has: somebody may have made it smaller and left them as they were.
   */
  async #unmapFrom(size: number): Promise<void> {
    const { image, scratchEntry } = this.#clusters;
    const { geometry } = image;
    const { l2Coverage, clusterSize } = geometry;
    const end = image.header.l1Size * l2Coverage;
    for (let at = Math.ceil(size / clusterSize) * clusterSize; at < end; ) {
      const tableIndex = Math.floor(at / l2Coverage);
      if (image.l2TableOffset(tableIndex) === 0) {
        at += l2Coverage - (at % l2Coverage);
        continue;
      }
      await image.makeRoom();
      const entry = await this.#clusters.entry(image.l2TableOffset(tableIndex), at, scratchEntry);
      const isEmpty =
        entry.kind === 'unallocated' && entry.host === 0 && (entry.allocated | entry.zeroes) === 0;
      if (!isEmpty) {
        const table = await image.ownL2Table(tableIndex);
        const got = image.l2Slice(table, at);
        const slice = got instanceof Promise ? await got : got;
        const offset = image.l2EntryOffset(at);
        this.#clusters.free(scratchEntry.read(geometry, slice.view, offset), true);
        writeEmptyEntry(geometry, slice.view, offset, false);
        image.l2.markDirty(slice);
      }
      at += clusterSize;
    }
  }
}
