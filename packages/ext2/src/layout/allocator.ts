import { Ext2Error } from '../errors.ts';
import type { Geometry } from './geometry.ts';

/** Blocks one after the other. */
export interface BlockRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Hands out blocks in ascending order and takes none back. What is in use is therefore known from where it stands, and
 * a file system of any size needs no bitmap in memory.
 */
export class BlockAllocator {
  readonly #geometry: Geometry;
  #group = 0;
  #next: number;
  #end: number;
  #allocated = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.#next = geometry.groupStart(0) + geometry.overhead(0);
    this.#end = geometry.groupStart(0) + geometry.groupLength(0);
  }

  /** Blocks handed out. */
  get allocated(): number {
    return this.#allocated;
  }

  /**
   * The next blocks that are free: `wanted` of them, or fewer, but at least one, when a group ends before.
   * @throws Ext2Error NO_SPACE
   */
  allocate(wanted: number): BlockRange {
    while (this.#next === this.#end) this.#enterGroup();
    const start = this.#next;
    const length = Math.min(wanted, this.#end - start);
    this.#next += length;
    this.#allocated += length;
    return { start, length };
  }

  /** One block. */
  allocateOne(): number {
    return this.allocate(1).start;
  }

  /** Blocks from the start of a group on that are in use: metadata and data. */
  usedIn(group: number): number {
    if (group > this.#group) return this.#geometry.overhead(group);
    if (group < this.#group) return this.#geometry.groupLength(group);
    return this.#next - this.#geometry.groupStart(group);
  }

  /** Whether data was put into a group. */
  hasDataIn(group: number): boolean {
    return this.usedIn(group) > this.#geometry.overhead(group);
  }

  #enterGroup(): void {
    const group = this.#group + 1;
    const { groupCount, blockCount, blockSize } = this.#geometry;
    if (group >= groupCount) {
      throw new Ext2Error(
        'NO_SPACE',
        `All ${blockCount * blockSize} bytes of the file system are in use: make it larger.`,
      );
    }
    this.#group = group;
    this.#next = this.#geometry.groupStart(group) + this.#geometry.overhead(group);
    this.#end = this.#geometry.groupStart(group) + this.#geometry.groupLength(group);
  }
}
