import type { BlockAllocator } from '../layout/allocator.ts';
import type { CoalescingWriter } from '../target.ts';
import { sealBlock } from './attributes.ts';

/** Linux's EXT4_XATTR_REFCOUNT_MAX. */
const MAX_REFERENCES = 1024;
/** Blocks that wait for more inodes that want the same. */
const CAPACITY = 64;

interface Shared {
  readonly block: number;
  readonly bytes: Buffer;
  references: number;
}

/** Gives inodes with the same attributes one block, as Linux does. Blocks are written when they are not waited for. */
export class XattrBlocks {
  readonly #allocator: BlockAllocator;
  readonly #writer: CoalescingWriter;
  readonly #blockSize: number;
  readonly #seed: number | undefined;
  /** By contents; the one used last at the end. */
  readonly #waiting = new Map<string, Shared>();

  constructor(
    allocator: BlockAllocator,
    writer: CoalescingWriter,
    blockSize: number,
    seed: number | undefined,
  ) {
    this.#allocator = allocator;
    this.#writer = writer;
    this.#blockSize = blockSize;
    this.#seed = seed;
  }

  /** The block that holds these attributes. */
  async place(bytes: Buffer): Promise<number> {
    const key = bytes.toString('latin1');
    let shared = this.#waiting.get(key);
    if (shared) this.#waiting.delete(key);
    if (shared?.references === MAX_REFERENCES) {
      await this.#write(shared);
      shared = undefined;
    }
    shared ??= { block: this.#allocator.allocateOne(), bytes, references: 0 };
    shared.references++;
    this.#waiting.set(key, shared);
    const oldest = this.#waiting.entries().next().value;
    if (this.#waiting.size > CAPACITY && oldest) {
      this.#waiting.delete(oldest[0]);
      await this.#write(oldest[1]);
    }
    return shared.block;
  }

  /** Writes the blocks that wait. */
  async flush(): Promise<void> {
    for (const shared of this.#waiting.values()) await this.#write(shared);
    this.#waiting.clear();
  }

  async #write({ block, bytes, references }: Shared): Promise<void> {
    sealBlock(bytes, block, references, this.#seed);
    await this.#writer.write(block * this.#blockSize, bytes);
  }
}
