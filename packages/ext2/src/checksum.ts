import { crc32c } from '@tsvmm/base';

const WORD = new DataView(new ArrayBuffer(8));
const WORD_BYTES = new Uint8Array(WORD.buffer);

/** Goes on with a sum over a little-endian number of 32 bits. */
export function crc32cOfWord(sum: number, value: number): number {
  WORD.setUint32(0, value, true);
  return crc32c(sum, WORD_BYTES, 0, 4);
}

/** Goes on with a sum over a little-endian number of 64 bits, of which 53 are used. */
export function crc32cOfLong(sum: number, value: number): number {
  WORD.setUint32(0, value % 2 ** 32, true);
  WORD.setUint32(4, Math.floor(value / 2 ** 32), true);
  return crc32c(sum, WORD_BYTES, 0, 8);
}
