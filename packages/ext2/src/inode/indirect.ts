import type { Run } from './block-map.ts';
import { MAP_LENGTH } from './inode.ts';

const DIRECT_BLOCKS = 12;
const LEVELS = 3;

/** Blocks of a file that three levels of indirection reach. */
export function maxIndirectBlocks(blockSize: number): number {
  const perBlock = blockSize / 4;
  return DIRECT_BLOCKS + perBlock + perBlock ** 2 + perBlock ** 3;
}

/** The classic map: i_block's twelve blocks, and one block of pointers each of one, two and three levels. */
export async function indirectMap(
  runs: readonly Run[],
  blockSize: number,
  place: (bytes: Buffer) => Promise<number>,
): Promise<Buffer> {
  const pointers = new Pointers(runs, blockSize, place);
  const root = Buffer.alloc(MAP_LENGTH);
  pointers.fill(root, 0, DIRECT_BLOCKS);
  let first = DIRECT_BLOCKS;
  for (let level = 1; level <= LEVELS; level++) {
    root.writeUInt32LE(await pointers.build(level, first), (DIRECT_BLOCKS + level - 1) * 4);
    first += (blockSize / 4) ** level;
  }
  return root;
}

/** Goes through the runs once, from the first block of the file to the last. */
class Pointers {
  readonly #runs: readonly Run[];
  readonly #perBlock: number;
  readonly #blockSize: number;
  readonly #place: (bytes: Buffer) => Promise<number>;
  /** Index of the first run that is not all behind. */
  #at = 0;

  constructor(runs: readonly Run[], blockSize: number, place: (bytes: Buffer) => Promise<number>) {
    this.#runs = runs;
    this.#perBlock = blockSize / 4;
    this.#blockSize = blockSize;
    this.#place = place;
  }

  /** Writes where the `count` blocks of the file from `first` on are. */
  fill(bytes: Buffer, first: number, count: number): void {
    const end = first + count;
    for (let run = this.#runs[this.#at]; run && run.logical < end; run = this.#runs[this.#at]) {
      const from = Math.max(run.logical, first);
      const to = Math.min(run.logical + run.length, end);
      for (let logical = from; logical < to; logical++) {
        bytes.writeUInt32LE(run.physical + logical - run.logical, (logical - first) * 4);
      }
      if (run.logical + run.length > end) return;
      this.#at++;
    }
  }

  /** Places the block of pointers of a level that stands for the blocks from `first` on; 0 when they are a hole. */
  async build(level: number, first: number): Promise<number> {
    const next = this.#runs[this.#at];
    if (!next || next.logical >= first + this.#perBlock ** level) return 0;
    const bytes = Buffer.alloc(this.#blockSize);
    if (level === 1) this.fill(bytes, first, this.#perBlock);
    else {
      const span = this.#perBlock ** (level - 1);
      for (let i = 0; i < this.#perBlock; i++) {
        bytes.writeUInt32LE(await this.build(level - 1, first + i * span), i * 4);
      }
    }
    return await this.#place(bytes);
  }
}
