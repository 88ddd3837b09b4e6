import type { Disk } from '@tsvmm/disk';
import type { Segments } from '../queue/segments.ts';
import { CheckCondition, invalidFieldInParameterList, Sense } from './sense.ts';

/** What one command may ask for at most. */
export interface MediumLimits {
  /** Logical blocks that WRITE SAME writes: 32 MiB, which the host may have to write. */
  readonly writeSameBlocks: number;
  /** Logical blocks of UNMAP. */
  readonly unmapBlocks: number;
  readonly unmapDescriptors: number;
}

const MAX_WRITE_SAME_BYTES = 2 ** 25;
const MAX_UNMAP_BLOCKS = 0xffff_ffff;
const MAX_UNMAP_DESCRIPTORS = 32;
const UNMAP_HEADER_LENGTH = 8;
const UNMAP_DESCRIPTOR_LENGTH = 16;
/** What is held in memory to compare, or to write again and again. */
const CHUNK = 2 ** 18;

/** The logical blocks of a disk. Ranges have been checked when its methods move bytes; errors are the disk's. */
export class Medium {
  /** Bytes of a logical block. */
  readonly blockSize: number;
  readonly limits: MediumLimits;
  readonly #disk: Disk;

  /** Takes over `disk`. */
  constructor(disk: Disk, blockSize: number) {
    this.#disk = disk;
    this.blockSize = blockSize;
    this.limits = {
      writeSameBlocks: MAX_WRITE_SAME_BYTES / blockSize,
      unmapBlocks: MAX_UNMAP_BLOCKS,
      unmapDescriptors: MAX_UNMAP_DESCRIPTORS,
    };
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  /** What does not fill a block at the end is not shown. */
  get blockCount(): number {
    return Math.floor(this.#disk.size / this.blockSize);
  }

  /** @throws CheckCondition when not all of the blocks are there */
  checkRange(lba: number, blocks: number): void {
    if (blocks > this.blockCount - lba) throw new CheckCondition(Sense.logicalBlockAddressOutOfRange);
  }

  /** @throws CheckCondition */
  checkWritable(): void {
    if (this.readOnly) throw new CheckCondition(Sense.writeProtected);
  }

  read(lba: number, target: Segments): Promise<void> {
    return this.#disk.read(lba * this.blockSize, target);
  }

  write(lba: number, source: Segments): Promise<void> {
    return this.#disk.write(lba * this.blockSize, source);
  }

  flush(): Promise<void> {
    return this.#disk.flush();
  }

  /** @throws CheckCondition when the bytes from a block on are not those of `expected` */
  async compare(lba: number, expected: Segments): Promise<void> {
    const stored = Buffer.allocUnsafe(Math.min(CHUNK, expected.byteLength));
    let position = lba * this.blockSize;
    for (let index = 0; index < expected.count; index++) {
      const bytes = expected.bytes(index);
      for (let start = 0; start < bytes.length; start += stored.length) {
        const part = bytes.subarray(start, start + stored.length);
        await this.#disk.read(position, stored.subarray(0, part.length));
        if (stored.compare(part, 0, part.length, 0, part.length) !== 0) {
          throw new CheckCondition(Sense.miscompareDuringVerify);
        }
        position += part.length;
      }
    }
  }

  /**
   * Writes one block to each of `blocks` blocks.
   * @param block nothing for zeroes
   */
  async writeSame(
    lba: number,
    blocks: number,
    block: Uint8Array | undefined,
    mayUnmap: boolean,
  ): Promise<void> {
    const start = lba * this.blockSize;
    const end = start + blocks * this.blockSize;
    if (block === undefined || block.every((byte) => byte === 0)) {
      await this.#disk.writeZeroes(start, end - start, { mayUnmap });
      return;
    }
    const pattern = Buffer.alloc(Math.min(CHUNK, end - start), block);
    for (let position = start; position < end; position += pattern.length) {
      await this.#disk.write(position, pattern.subarray(0, end - position));
    }
  }

  /**
   * Says that the blocks of an UNMAP parameter list (SBC-3, section 5.28.2) are not needed any more.
   * @throws CheckCondition before anything is changed
   */
  async unmap(list: Uint8Array): Promise<void> {
    const ranges = this.#unmapRanges(list);
    for (const { lba, blocks } of ranges) {
      await this.#disk.discard(lba * this.blockSize, blocks * this.blockSize);
    }
  }

  #unmapRanges(list: Uint8Array): { lba: number; blocks: number }[] {
    const ranges: { lba: number; blocks: number }[] = [];
    if (list.length === 0) return ranges;
    if (list.length < UNMAP_HEADER_LENGTH) throw new CheckCondition(Sense.parameterListLengthError);
    const view = new DataView(list.buffer, list.byteOffset, list.length);
    const count = Math.floor(view.getUint16(2) / UNMAP_DESCRIPTOR_LENGTH);
    if (count > MAX_UNMAP_DESCRIPTORS) throw invalidFieldInParameterList(2);
    const end = UNMAP_HEADER_LENGTH + count * UNMAP_DESCRIPTOR_LENGTH;
    if (end > list.length) throw new CheckCondition(Sense.parameterListLengthError);
    for (let at = UNMAP_HEADER_LENGTH; at < end; at += UNMAP_DESCRIPTOR_LENGTH) {
      const lba = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
      const blocks = view.getUint32(at + 8);
      this.checkRange(lba, blocks);
      if (blocks > 0) ranges.push({ lba, blocks });
    }
    return ranges;
  }

  /** Flushes and closes the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk[Symbol.asyncDispose]();
  }
}
