import type { PageCache } from './page-cache.ts';

/** Consecutive sectors of a block that a differencing image all has itself, or all leaves to its parent. */
export interface AlikeSectors {
  readonly isHere: boolean;
  /** The first sector that is not meant any more. */
  readonly end: number;
}

/** Where the bit of the first of eight sectors is. */
export type FirstBit = 'most-significant' | 'least-significant';

/**
 * How far the sectors from `first` on, and before `end`, are alike, by a bitmap that has a set bit for each one that is
 * here. Whole bytes are looked at where that will do: a block has up to half a million sectors, and images lie on images.
 * @param offset of the bitmap, in bytes
 */
export async function alikeSectors(
  pages: PageCache,
  offset: number,
  first: number,
  end: number,
  firstBit: FirstBit,
): Promise<AlikeSectors> {
  let page = await pages.rest(offset + (first >> 3));
  let pageStart = first >> 3;
  const isSet = (sector: number): boolean => {
    const bit = firstBit === 'most-significant' ? 7 - (sector & 7) : sector & 7;
    return (((page[(sector >> 3) - pageStart] ?? 0) >> bit) & 1) === 1;
  };
  const isHere = isSet(first);
  const uniform = isHere ? 0xff : 0;
  for (let sector = first + 1; sector < end; ) {
    if ((sector >> 3) - pageStart >= page.length) {
      pageStart = sector >> 3;
      page = await pages.rest(offset + pageStart);
    }
    if (sector % 8 === 0 && sector + 8 <= end && page[(sector >> 3) - pageStart] === uniform) {
      sector += 8;
    } else if (isSet(sector) === isHere) {
      sector++;
    } else {
      return { isHere, end: sector };
    }
  }
  return { isHere, end };
}
