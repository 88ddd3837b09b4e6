// PE/COFF specification: an Image with an EFI stub is also an EFI program, whose section table says how long the file is.
// offset 0x3c: offset of "PE\0\0", followed by the COFF header of 20 bytes
// COFF header: number of sections (16 bits) at 2, size of the optional header (16 bits) at 16
// Section header of 40 bytes: size of raw data (32 bits) at 16, offset of raw data (32 bits) at 20

const SIGNATURE = 0x0000_4550;
const SIGNATURE_OFFSET = 0x3c;
const COFF_HEADER_SIZE = 20;
const SECTION_HEADER_SIZE = 40;
const DOS_MAGIC = 0x5a4d;

/**
 * Bytes that an EFI program's file has at least; 0 for what is none, and for a table that lies beyond `head`.
 * @param head the first bytes of the file
 */
export function executableSize(head: Uint8Array): number {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const has = (offset: number, length: number) => offset + length <= head.length;
  if (!has(SIGNATURE_OFFSET, 4) || view.getUint16(0, true) !== DOS_MAGIC) return 0;
  const signature = view.getUint32(SIGNATURE_OFFSET, true);
  const coff = signature + 4;
  if (!has(coff, COFF_HEADER_SIZE) || view.getUint32(signature, true) !== SIGNATURE) return 0;
  const sections = view.getUint16(coff + 2, true);
  const table = coff + COFF_HEADER_SIZE + view.getUint16(coff + 16, true);
  if (!has(table, sections * SECTION_HEADER_SIZE)) return 0;
  let size = 0;
  for (let section = 0; section < sections; section++) {
    const header = table + section * SECTION_HEADER_SIZE;
    size = Math.max(size, view.getUint32(header + 16, true) + view.getUint32(header + 20, true));
  }
  return size;
}
