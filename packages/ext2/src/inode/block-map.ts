import type { BlockAllocator } from '../layout/allocator.ts';
import type { Features } from '../layout/features.ts';
import { Incompat } from '../layout/features.ts';
import type { CoalescingWriter } from '../target.ts';
import { extentTree } from './extents.ts';
import { indirectMap } from './indirect.ts';
import { InodeFlag, inodeSeed } from './inode.ts';

/** Blocks of a file that follow each other on the disk too. */
export interface Run {
  /** Block of the file. */
  readonly logical: number;
  /** Block of the disk. */
  readonly physical: number;
  readonly length: number;
}

/** How an inode says where its blocks are. */
export interface BlockMap {
  /** For i_block. */
  readonly bytes: Buffer;
  /** For i_flags. */
  readonly flags: number;
  /** Blocks that the map itself takes. */
  readonly blocks: number;
}

/** What maps need of the file system. */
export interface MapContext {
  readonly blockSize: number;
  readonly features: Features;
  readonly allocator: BlockAllocator;
  readonly writer: CoalescingWriter;
  /** What metadata checksums start with; undefined without metadata_csum. */
  readonly seed: number | undefined;
}

/** Maps ascending runs of an inode's blocks, in the way that the features say, and writes what of it is not in the inode. */
export async function mapBlocks(context: MapContext, inode: number, runs: readonly Run[]): Promise<BlockMap> {
  const { features, blockSize, allocator, writer, seed } = context;
  let blocks = 0;
  const place = async (bytes: Buffer): Promise<number> => {
    const block = allocator.allocateOne();
    await writer.write(block * blockSize, bytes);
    blocks++;
    return block;
  };
  if ((features.incompat & Incompat.extents) === 0) {
    const bytes = await indirectMap(runs, blockSize, place);
    return { bytes, flags: 0, blocks };
  }
  const sum = seed === undefined ? undefined : inodeSeed(inode, seed);
  const bytes = await extentTree(runs, blockSize, sum, place);
  return { bytes, flags: InodeFlag.extents, blocks };
}

/** Adds blocks at the end of the runs, to the last one if they follow it. */
export function appendRun(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last && last.logical + last.length === run.logical && last.physical + last.length === run.physical) {
    runs[runs.length - 1] = { ...last, length: last.length + run.length };
  } else {
    runs.push(run);
  }
}
