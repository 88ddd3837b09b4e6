import { AcpiError } from './errors.ts';

/** The bytes of all parts, one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/**
 * `value` as an unsigned little-endian integer of `width` bytes.
 * @param what names the value in the error
 * @throws AcpiError OUT_OF_RANGE
 */
export function little(value: number | bigint, width: 1 | 2 | 4 | 8, what: string): Uint8Array<ArrayBuffer> {
  const fits =
    typeof value === 'bigint'
      ? value >= 0n && value >> BigInt(8 * width) === 0n
      : Number.isSafeInteger(value) && value >= 0 && value < 2 ** (8 * width);
  if (!fits) {
    throw new AcpiError('OUT_OF_RANGE', `${what}: ${value} is no unsigned integer of ${8 * width} bits.`);
  }
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes.slice(0, width);
}

/**
 * `text` in ASCII, padded with NULs to `length` bytes.
 * @throws AcpiError BAD_NAME when it is longer or has other characters
 */
export function ascii(text: string, length: number, what: string): Uint8Array<ArrayBuffer> {
  if (text.length > length || !/^[\x20-\x7e]*$/.test(text)) {
    const message = `${what}: ${JSON.stringify(text)} is not up to ${length} printable ASCII characters.`;
    throw new AcpiError('BAD_NAME', message);
  }
  const bytes = new Uint8Array(length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
