/** CRC-32C (Castagnoli), reflected polynomial. */
const POLYNOMIAL = 0x82f6_3b78;

/** Eight tables: entry `256 * n + b` is what byte `b` does to the sum when `n` more bytes follow. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) !== 0 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1;
    tables[byte] = sum;
  }
  for (let i = 256; i < tables.length; i++) {
    const sum = tables[i - 256] ?? 0;
    tables[i] = (sum >>> 8) ^ (tables[sum & 0xff] ?? 0);
  }
  return tables;
}

/**
 * Goes on with a CRC-32C over more bytes, without inversion before or after. It starts with 0xffffffff; most formats
 * invert the result.
 * @returns 32 bits, not negative
 */
export function crc32c(sum: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  const t = TABLES;
  let crc = sum;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low =
      crc ^
      ((bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24));
    crc =
      (t[0x700 | (low & 0xff)] ?? 0) ^
      (t[0x600 | ((low >>> 8) & 0xff)] ?? 0) ^
      (t[0x500 | ((low >>> 16) & 0xff)] ?? 0) ^
      (t[0x400 | (low >>> 24)] ?? 0) ^
      (t[0x300 | (bytes[at + 4] ?? 0)] ?? 0) ^
      (t[0x200 | (bytes[at + 5] ?? 0)] ?? 0) ^
      (t[0x100 | (bytes[at + 6] ?? 0)] ?? 0) ^
      (t[bytes[at + 7] ?? 0] ?? 0);
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return crc >>> 0;
}
