import { MAXIMUM_MEMORY_REGIONS, MemoryRegionEntry, MemoryRegionTable, PAGE_SIZE } from './layout.ts';

/** Guest memory beside RAM. */
export interface MemoryRegion {
  /** Guest-physical address and bytes: multiples of 4 KiB. */
  readonly base: number;
  readonly size: number;
  /** Stores of the guest go to the host, as they do where there is no memory. */
  readonly readOnly: boolean;
}

/** A region, and where in the WebAssembly memory it is. */
export interface PlacedMemoryRegion extends MemoryRegion {
  readonly offset: number;
}

/** Whether some memory is where other memory is. */
export function overlaps(a: { base: number; size: number }, b: { base: number; size: number }): boolean {
  return a.base < b.base + b.size && b.base < a.base + a.size;
}

/** Writes the table that generated code looks regions up in. */
export function writeMemoryRegions(u32: Uint32Array, regions: readonly PlacedMemoryRegion[]): void {
  u32[MemoryRegionTable.count >>> 2] = regions.length;
  for (const [index, { base, size, offset, readOnly }] of regions.entries()) {
    const entry = MemoryRegionTable.entries + index * MemoryRegionEntry.size;
    const set = (field: number, value: number): void => {
      u32[(entry + field) >>> 2] = value;
      u32[((entry + field) >>> 2) + 1] = Math.floor(value / 2 ** 32);
    };
    set(MemoryRegionEntry.base, base);
    set(MemoryRegionEntry.length, size);
    set(MemoryRegionEntry.page, offset + (readOnly ? 1 : 0));
  }
}

/** Whether regions can be laid out beside RAM; what is wrong with them if not. */
export function regionsProblem(
  regions: readonly MemoryRegion[],
  ram: { readonly base: number; readonly size: number },
): string | undefined {
  if (regions.length > MAXIMUM_MEMORY_REGIONS) {
    return `${regions.length} regions: at most ${MAXIMUM_MEMORY_REGIONS} are possible`;
  }
  const isPages = (value: number): boolean =>
    Number.isSafeInteger(value) && value >= 0 && value % PAGE_SIZE === 0;
  for (const [index, region] of regions.entries()) {
    if (!isPages(region.base) || !isPages(region.size) || region.size === 0) {
      return `a region of ${region.size} bytes at ${region.base}: give multiples of ${PAGE_SIZE}`;
    }
    if ([ram, ...regions.slice(0, index)].some((other) => overlaps(other, region))) {
      return `the region of ${region.size} bytes at ${region.base} overlaps other memory`;
    }
  }
  return undefined;
}
