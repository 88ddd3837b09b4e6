// What flash memory tells of itself: the Common Flash Interface (JEDEC JESD68.01), for Intel's command set.

/** What a query of a chip has to answer. */
export interface CfiGeometry {
  /** Bytes. */
  readonly chipSize: number;
  /** Bytes that are erased together, a multiple of 256. */
  readonly blockSize: number;
  /** Bits of a word. */
  readonly wordSize: 8 | 16;
  /** Bytes of the buffer that is programmed at once, a power of two. */
  readonly bufferSize: number;
}

/** Addresses of words, of each of which only the low byte counts. */
const IDENTIFICATION = 0x10;
const SYSTEM_INTERFACE = 0x1b;
const GEOMETRY = 0x27;
const PRIMARY = 0x31;
const LENGTH = 0x40;

/** "Intel/Sharp Extended Command Set". */
const INTEL_EXTENDED = 0x0001;
/** Device interface codes. */
const INTERFACES = { 8: 0, 16: 1 } as const;

/** The words that a chip answers a query with, from word 0 on. */
export function cfiQuery({ chipSize, blockSize, wordSize, bufferSize }: CfiGeometry): Uint8Array {
  const table = new Uint8Array(LENGTH);
  const view = new DataView(table.buffer);
  const text = (at: number, value: string): void => table.set(new TextEncoder().encode(value), at);
  text(IDENTIFICATION, 'QRY');
  view.setUint16(IDENTIFICATION + 3, INTEL_EXTENDED, true);
  view.setUint16(IDENTIFICATION + 5, PRIMARY, true);
  // Supply voltage in BCD, 4.5 V to 5.5 V. Then typical times as powers of two: 128 µs for a word and a buffer, 1 s for a
  // block; and how many times these, as powers of two too, they take at most.
  table.set([0x45, 0x55, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0], SYSTEM_INTERFACE);
  table[GEOMETRY] = Math.ceil(Math.log2(chipSize));
  view.setUint16(GEOMETRY + 1, INTERFACES[wordSize], true);
  view.setUint16(GEOMETRY + 3, Math.log2(bufferSize), true);
  // One region of blocks of one size.
  table[GEOMETRY + 5] = 1;
  view.setUint16(GEOMETRY + 6, chipSize / blockSize - 1, true);
  view.setUint16(GEOMETRY + 8, blockSize / 256, true);
  text(PRIMARY, 'PRI10');
  return table;
}
