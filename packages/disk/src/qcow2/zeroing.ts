import type { ClusterWriter } from './cluster-writer.ts';
import type { Clusters } from './clusters.ts';
import { isRawData } from './header.ts';
import { Run, subclusterBits, writeEmptyEntry, writeZeroFlag } from './mapping.ts';

const ALL_SUBCLUSTERS = 0xffff_ffff;

/** How a range is to become zero. */
export interface ZeroMode {
  /** It need not become zero. */
  readonly isAdvice: boolean;
  readonly mayUnmap: boolean;
}

/** Making ranges zero, by their L2 entries where that is possible. Whoever calls has the image to itself. */
export class Zeroing {
  readonly #clusters: Clusters;
  readonly #writer: ClusterWriter;

  constructor(clusters: Clusters, writer: ClusterWriter) {
    this.#clusters = clusters;
    this.#writer = writer;
  }

  /** Makes a range zero; only advice may leave some of it as it was. */
  async zero(position: number, length: number, mode: ZeroMode): Promise<void> {
    const { image } = this.#clusters;
    const { geometry } = image;
    const { l2Coverage, unitSize } = geometry;
    if (isRawData(image.header)) {
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
      if (!isMapped && (mode.isAdvice || this.#clusters.backedLength(at, l2Coverage) === 0)) {
        done += Math.min(length - done, l2Coverage - (at % l2Coverage));
        continue;
      }
      const left = Math.min(length - done, image.sliceLength(at));
      const toUnit = (unitSize - (at % unitSize)) % unitSize;
      // The last unit of the disk may be cut off: zeroing all of it zeroes what is there.
      const isEnd = at + left === image.header.size;
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
    await this.#clusters.locate(position, length, run);
    if (run.kind === 'zero') return;
    if (run.kind === 'unallocated' && this.#clusters.backedLength(position, length) === 0) return;
    await this.#writer.writeZeroes(position, length);
  }

  /** Zeroes whole units within a slice of an L2 table, of which the first `limit` bytes matter. */
  async #zeroUnits(position: number, length: number, limit: number, mode: ZeroMode): Promise<void> {
    const { image } = this.#clusters;
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
    const { image } = this.#clusters;
    const { geometry } = image;
    const { clusterSize, hasSubclusters, hasZeroFlag, hasDataFile } = geometry;
    const got = image.l2Slice(table, position);
    const slice = got instanceof Promise ? await got : got;
    const offset = image.l2EntryOffset(position);
    const entry = this.#clusters.scratchEntry.read(geometry, slice.view, offset);
    const isBacked = this.#clusters.backedLength(position, length) > 0;
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
        else this.#clusters.free(entry, true);
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
      else this.#clusters.free(entry, true);
      writeEmptyEntry(geometry, slice.view, offset, isBacked);
    }
    image.l2.markDirty(slice);
    return true;
  }
}
