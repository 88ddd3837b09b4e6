import { FdtError } from './errors.ts';

// Property values, section 2.2.4: what the words, strings and lists look like as bytes.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeU32(values: readonly number[], where: string): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const data = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw new FdtError('BAD_VALUE', `${where}: ${value} is no unsigned integer of 32 bits.`);
    }
    data.setUint32(index * 4, value);
  }
  return bytes;
}

export function encodeU64(values: readonly (number | bigint)[], where: string): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const data = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) {
    if (typeof value === 'number' ? !Number.isSafeInteger(value) || value < 0 : value < 0n || value >> 64n) {
      throw new FdtError('BAD_VALUE', `${where}: ${value} is no (safe) unsigned integer of 64 bits.`);
    }
    data.setBigUint64(index * 8, BigInt(value));
  }
  return bytes;
}

export function encodeStrings(values: readonly string[], where: string): Uint8Array {
  const nul = values.find((value) => value.includes('\0'));
  if (nul !== undefined) throw new FdtError('BAD_VALUE', `${where}: a string cannot have a NUL inside.`);
  return encoder.encode(values.map((value) => `${value}\0`).join(''));
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

export function decodeU32(bytes: Uint8Array, where: string): number[] {
  if (bytes.length % 4 !== 0) {
    throw new FdtError('BAD_VALUE', `${where}: ${bytes.length} bytes are no whole number of 32-bit cells.`);
  }
  const data = viewOf(bytes);
  return Array.from({ length: bytes.length / 4 }, (_, index) => data.getUint32(index * 4));
}

export function decodeU64(bytes: Uint8Array, where: string): bigint[] {
  if (bytes.length % 8 !== 0) {
    throw new FdtError('BAD_VALUE', `${where}: ${bytes.length} bytes are no whole number of 64-bit values.`);
  }
  const data = viewOf(bytes);
  return Array.from({ length: bytes.length / 8 }, (_, index) => data.getBigUint64(index * 8));
}

export function decodeStrings(bytes: Uint8Array, where: string): string[] {
  if (bytes.length === 0) return [];
  if (bytes.at(-1) !== 0) throw new FdtError('BAD_VALUE', `${where}: the string does not end in a NUL.`);
  return decoder.decode(bytes.subarray(0, -1)).split('\0');
}
