/** What went wrong: see the message for the address or value. */
export type GuestMemoryErrorCode =
  /** An address (or address and length) that is not wholly in RAM, or is not a whole number. */
  | 'OUT_OF_RANGE'
  /** An atomic access that is not at a multiple of its width. */
  | 'UNALIGNED'
  /** A 64-bit value above 2^53 - 1 where a number was asked for, or a value that does not fit its field. */
  | 'VALUE_TOO_LARGE'
  /** Regions or a backing memory that do not make sense together. */
  | 'INVALID_LAYOUT'
  /** This memory, or this platform, cannot be shared between processes. */
  | 'NOT_SHAREABLE';

export class GuestMemoryError extends Error {
  override readonly name = 'GuestMemoryError';
  readonly code: GuestMemoryErrorCode;

  constructor(code: GuestMemoryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An address as people write it; what is no address is shown as it is. */
export function hex(address: number): string {
  return Number.isInteger(address) && address >= 0 ? `0x${address.toString(16)}` : String(address);
}
