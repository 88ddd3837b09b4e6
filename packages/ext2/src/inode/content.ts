import { shownName } from '../directory/path.ts';
import type { FileEntry } from '../entry.ts';
import { Ext2Error } from '../errors.ts';
import type { BlockAllocator } from '../layout/allocator.ts';
import type { CoalescingWriter } from '../target.ts';
import { appendRun, type Run } from './block-map.ts';

const WINDOW_LENGTH = 256 * 1024;

/** What is asked now and then during long work: it lets others run, and throws to end the work. */
export interface Pace {
  step(bytes: number): Promise<void> | undefined;
}

/** Puts the contents of files on the disk, one after the other, without the blocks of them that are zero. */
export class ContentWriter {
  readonly #blockSize: number;
  readonly #allocator: BlockAllocator;
  readonly #writer: CoalescingWriter;
  readonly #pace: Pace;
  readonly #zeroBlock: Buffer;
  /** Bytes that do not fill a block, or not come aligned, wait here for those that follow. */
  readonly #window = Buffer.alloc(WINDOW_LENGTH);
  /** Where in the file the window starts: the start of a block. */
  #start = 0;
  #length = 0;
  #runs: Run[] = [];

  constructor(blockSize: number, allocator: BlockAllocator, writer: CoalescingWriter, pace: Pace) {
    this.#blockSize = blockSize;
    this.#allocator = allocator;
    this.#writer = writer;
    this.#pace = pace;
    this.#zeroBlock = Buffer.alloc(blockSize);
  }

  /**
   * Writes all of a file.
   * @returns where its blocks are
   * @throws Ext2Error BAD_CONTENT, NO_SPACE
   */
  async write(entry: FileEntry): Promise<readonly Run[]> {
    this.#runs = [];
    this.#length = 0;
    let end = 0;
    for await (const { position, bytes } of entry.content()) {
      if (position < end || position + bytes.length > entry.size) {
        throw new Ext2Error(
          'BAD_CONTENT',
          `bytes ${position} to ${position + bytes.length} of a file of ${entry.size} bytes came after byte ${end}.`,
          { path: shownName(entry.path) },
        );
      }
      if (bytes.length > 0) await this.#append(position, bytes);
      end = position + bytes.length;
      await this.#pace.step(bytes.length);
    }
    await this.#flushWindow();
    return this.#runs;
  }

  async #append(position: number, bytes: Uint8Array): Promise<void> {
    const blockSize = this.#blockSize;
    if (this.#length > 0 && position > this.#start + this.#length) {
      const blockEnd = this.#start + Math.ceil(this.#length / blockSize) * blockSize;
      if (position >= blockEnd) await this.#flushWindow();
      else this.#extendWithZeroes(position);
    }
    if (this.#length === 0) {
      this.#start = position - (position % blockSize);
      this.#extendWithZeroes(position);
    }
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      if (this.#length === 0 && left >= blockSize) {
        const whole = left - (left % blockSize);
        await this.#place(bytes.subarray(done, done + whole));
        done += whole;
        continue;
      }
      const part = Math.min(left, WINDOW_LENGTH - this.#length);
      this.#window.set(bytes.subarray(done, done + part), this.#length);
      this.#length += part;
      done += part;
      if (this.#length === WINDOW_LENGTH) await this.#flushWindow();
    }
  }

  #extendWithZeroes(position: number): void {
    this.#window.fill(0, this.#length, position - this.#start);
    this.#length = position - this.#start;
  }

  async #flushWindow(): Promise<void> {
    if (this.#length === 0) return;
    const length = Math.ceil(this.#length / this.#blockSize) * this.#blockSize;
    this.#window.fill(0, this.#length, length);
    this.#length = 0;
    await this.#place(this.#window.subarray(0, length));
  }

  /** Places whole blocks at the start of the window, which moves behind them. */
  async #place(bytes: Uint8Array): Promise<void> {
    const blockSize = this.#blockSize;
    for (let at = 0; at < bytes.length; ) {
      let end = at;
      while (end < bytes.length && !this.#isZero(bytes, end)) end += blockSize;
      while (at < end) {
        const { start, length } = this.#allocator.allocate((end - at) / blockSize);
        const next = at + length * blockSize;
        await this.#writer.write(start * blockSize, bytes.subarray(at, next));
        appendRun(this.#runs, { logical: (this.#start + at) / blockSize, physical: start, length });
        at = next;
      }
      while (at < bytes.length && this.#isZero(bytes, at)) at += blockSize;
    }
    this.#start += bytes.length;
  }

  #isZero(bytes: Uint8Array, at: number): boolean {
    if (bytes[at] !== 0) return false;
    return Buffer.compare(this.#zeroBlock, bytes.subarray(at, at + this.#blockSize)) === 0;
  }
}
