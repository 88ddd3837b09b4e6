import type { Segment } from './elf.ts';
import { type ByteSource, readFully } from './source.ts';

/** Of the notes that Xen defined: the 32-bit physical address of the PVH entry. */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** Far more than a kernel's notes have, and a bound for what a hostile file claims. */
const MAX_NOTES = 1 << 16;

const align4 = (value: number) => value + (-value & 3);

/** The entry for the PVH boot protocol that the notes give, if one does. */
export async function pvhEntry(source: ByteSource, notes: readonly Segment[]): Promise<number | undefined> {
  for (const { offset, fileSize } of notes) {
    if (fileSize > MAX_NOTES || offset + fileSize > source.size) continue;
    const bytes = new Uint8Array(fileSize);
    await readFully(source, offset, bytes);
    const entry = findEntry(new DataView(bytes.buffer));
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** Notes are a name's size, a description's size and a type, then both, padded to four bytes. */
function findEntry(data: DataView): number | undefined {
  for (let at = 0; at + 12 <= data.byteLength; ) {
    const nameSize = data.getUint32(at, true);
    const descriptionSize = data.getUint32(at + 4, true);
    const description = at + 12 + align4(nameSize);
    const end = description + align4(descriptionSize);
    if (end > data.byteLength) return undefined;
    const isXen = nameSize === 4 && data.getUint32(at + 12, true) === 0x006e_6558;
    if (isXen && data.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY && descriptionSize >= 4) {
      return data.getUint32(description, true);
    }
    at = end;
  }
  return undefined;
}
