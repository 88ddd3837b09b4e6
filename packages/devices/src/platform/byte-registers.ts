import type { BusAccess } from '../bus.ts';

// Platform devices have registers of one byte. A wider access is one access to each of the bytes, from the lowest on.

/** Reads `access.size` registers from `access.offset` on. */
export function readBytes(access: BusAccess, read: (offset: number) => number): void {
  let low = 0;
  let high = 0;
  for (let i = 0; i < access.size; i++) {
    const byte = read(access.offset + i) & 0xff;
    if (i < 4) low |= byte << (8 * i);
    else high |= byte << (8 * (i - 4));
  }
  access.low = low >>> 0;
  access.high = high >>> 0;
}

/** Writes `access.size` registers from `access.offset` on. */
export function writeBytes(access: BusAccess, write: (offset: number, value: number) => void): void {
  const { offset, size, low, high } = access;
  for (let i = 0; i < size; i++) {
    write(offset + i, (i < 4 ? low >>> (8 * i) : high >>> (8 * (i - 4))) & 0xff);
  }
}
