import type { AddressRange, BootRegisters } from '@tsvmm/arch';

/** IA32_MTRR_DEF_TYPE: MTRRs on, fixed ones off, what no MTRR is about is write-back (Intel SDM 3A, 12.11.2.1). */
const ENABLE_WRITE_BACK = (1n << 11n) | 6n;
const UNCACHEABLE = 0n;
const VALID = 1n << 11n;
/** Variable MTRRs that KVM's CPUs have. */
const VARIABLE_COUNT = 8;

/**
 * MTRRs that make `devices` uncacheable and everything else write-back. A variable MTRR covers a power of two of bytes, at
 * a multiple of that: a range takes as many as it has such pieces. What is left when there are no more stays write-back;
 * with the page tables' own types, that a guest sets, it makes no difference under nested paging.
 */
export function memoryTypeRegisters(devices: AddressRange, addressBits: number): BootRegisters {
  const registers: Record<string, bigint> = { IA32_MTRR_DEF_TYPE: ENABLE_WRITE_BACK };
  const addressMask = (1n << BigInt(addressBits)) - 1n;
  const pieces = powersOfTwo(devices).slice(0, VARIABLE_COUNT);
  for (const [index, { start, end }] of pieces.entries()) {
    registers[`IA32_MTRR_PHYSBASE${index}`] = BigInt(start) | UNCACHEABLE;
    registers[`IA32_MTRR_PHYSMASK${index}`] = (addressMask & ~(BigInt(end - start) - 1n)) | VALID;
  }
  return registers;
}

/** Cuts a range into the fewest pieces whose size is a power of two and whose start is a multiple of it. */
export function powersOfTwo({ start, end }: AddressRange): readonly AddressRange[] {
  const pieces: AddressRange[] = [];
  for (let at = start; at < end; ) {
    let size = 4096;
    while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2;
    pieces.push({ start: at, end: at + size });
    at += size;
  }
  return pieces;
}
