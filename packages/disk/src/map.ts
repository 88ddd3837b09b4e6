import type { Disk, Extent } from './disk.ts';

/** A part of a disk. */
export interface MapEntry extends Extent {
  /** Bytes from the start of the disk. */
  readonly position: number;
}

/** What a disk is made of, from its start to its end; neighbours that are alike are one entry. */
export async function* mapDisk(disk: Disk): AsyncGenerator<MapEntry> {
  let last: MapEntry | undefined;
  for (let position = 0; position < disk.size; ) {
    const extent = await disk.extentAt(position);
    if (last && continues(last, extent)) {
      last = { ...last, length: last.length + extent.length };
    } else {
      if (last) yield last;
      last = { ...extent, position };
    }
    position += extent.length;
  }
  if (last) yield last;
}

function continues(last: MapEntry, next: Extent): boolean {
  return (
    last.kind === next.kind &&
    last.depth === next.depth &&
    last.compressed === next.compressed &&
    (last.offset === undefined ? next.offset === undefined : last.offset + last.length === next.offset)
  );
}
