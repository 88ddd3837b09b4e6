import { GuestMemoryError, hex } from './error.ts';

/** The unit of a region's base and size: the smallest page of the guests and hosts there are. */
export const PAGE_SIZE = 4096;

/** A range of guest-physical addresses that is RAM. */
export interface MemoryRegion {
  /** Guest-physical address of the first byte, a multiple of 4096. */
  readonly base: number;
  /** Bytes, a multiple of 4096. */
  readonly size: number;
}

/** A region and the file that holds its bytes. */
export interface FileRegion extends MemoryRegion {
  readonly fd: number;
  /** Byte offset in the file, a multiple of the host's page size. */
  readonly fileOffset: number;
}

/** A region and where its bytes are. */
export interface PlacedRegion extends MemoryRegion {
  /** Byte offset in the backing buffer. */
  readonly hostOffset: number;
  /** Byte offset in the memory file, for mapping it elsewhere (KVM's memory slots, other processes). */
  readonly fileOffset: number;
}

/** A run of guest addresses that is one run of the backing buffer too. */
export interface Span {
  readonly start: number;
  /** The first address after it. */
  readonly end: number;
  /** What turns an address into an offset in the backing buffer. */
  readonly shift: number;
}

/**
 * Puts regions one after the other, beginning at `hostOffset`, in the order of their addresses.
 * @throws {GuestMemoryError} INVALID_LAYOUT for regions that overlap, are empty, or do not consist of whole pages
 */
export function placeRegions(regions: readonly MemoryRegion[], hostOffset: number): readonly PlacedRegion[] {
  if (regions.length === 0)
    throw new GuestMemoryError('INVALID_LAYOUT', 'Guest memory needs at least one region');
  if (!isPages(hostOffset)) {
    throw new GuestMemoryError(
      'INVALID_LAYOUT',
      `The memory offset ${hostOffset} must be a multiple of ${PAGE_SIZE}`,
    );
  }
  const sorted = regions.toSorted((a, b) => a.base - b.base);
  const placed: PlacedRegion[] = [];
  let fileOffset = 0;
  let previousEnd = 0;
  for (const { base, size } of sorted) {
    const shown = `Region ${hex(base)} of ${hex(size)} bytes`;
    if (!isPages(base) || !isPages(size) || size === 0 || !Number.isSafeInteger(base + size)) {
      throw new GuestMemoryError(
        'INVALID_LAYOUT',
        `${shown}: base and size must be multiples of ${PAGE_SIZE}, the size above 0, the end below 2^53`,
      );
    }
    if (base < previousEnd) {
      throw new GuestMemoryError(
        'INVALID_LAYOUT',
        `${shown} overlaps the region before it, which ends at ${hex(previousEnd)}`,
      );
    }
    placed.push(Object.freeze({ base, size, hostOffset: hostOffset + fileOffset, fileOffset }));
    fileOffset += size;
    previousEnd = base + size;
  }
  return Object.freeze(placed);
}

/**
 * Joins regions that touch: to a guest they are one range of RAM, and in the backing buffer they are one as well, so an
 * access may cross from one to the next.
 */
export function spansOf(regions: readonly PlacedRegion[]): readonly Span[] {
  const spans: { start: number; end: number; shift: number }[] = [];
  for (const { base, size, hostOffset } of regions) {
    const last = spans.at(-1);
    if (last && last.end === base) last.end = base + size;
    else spans.push({ start: base, end: base + size, shift: hostOffset - base });
  }
  return spans;
}

function isPages(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value % PAGE_SIZE === 0;
}
