/** Bytes to write to guest memory. */
export interface MemoryImage {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Sum of the bytes modulo 256: zero for a structure whose checksum is right. */
export function sumOf(bytes: Uint8Array): number {
  let total = 0;
  for (const byte of bytes) total = (total + byte) & 0xff;
  return total;
}
