import { MachineError } from './errors.ts';

/** Addresses from `start` up to, but not including, `end`. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

interface Allocation extends AddressRange {
  readonly owner: string;
}

/** `value` rounded up to a multiple of `alignment`, a power of two; exact up to 2^53. */
export function alignUp(value: number, alignment: number): number {
  const rest = value % alignment;
  return rest === 0 ? value : value + (alignment - rest);
}

/** Hands out addresses of one range, lowest first, and remembers who has them. */
export class AddressAllocator {
  readonly range: AddressRange;
  readonly #name: string;
  /** In order of address. */
  readonly #allocations: Allocation[] = [];

  /** @param name what the addresses are of, for messages: `PCI memory` */
  constructor(name: string, range: AddressRange) {
    this.#name = name;
    this.range = range;
  }

  /**
   * @param alignment a power of two
   * @returns the first address
   * @throws MachineError NO_ADDRESS_SPACE
   */
  allocate(size: number, alignment: number, owner: string): number {
    let start = alignUp(this.range.start, alignment);
    let index = 0;
    for (const taken of this.#allocations) {
      if (start + size <= taken.start) {
        break;
      }
      start = Math.max(start, alignUp(taken.end, alignment));
      index++;
    }
    if (start + size > this.range.end) {
      throw new MachineError(
        'NO_ADDRESS_SPACE',
        `no room for ${size} bytes of ${owner} in ${this.#name} (${hex(this.range.start)} to ${hex(this.range.end)}): configure fewer devices`,
      );
    }
    this.#allocations.splice(index, 0, { start, end: start + size, owner });
    return start;
  }

  /**
   * Takes addresses that are fixed.
   *
   * @throws MachineError OVERLAP when somebody has them, NO_ADDRESS_SPACE when they are outside the range
   */
  reserve(start: number, size: number, owner: string): void {
    const end = start + size;
    if (start < this.range.start || end > this.range.end) {
      throw new MachineError(
        'NO_ADDRESS_SPACE',
        `${owner} at ${hex(start)} is outside of ${this.#name} (${hex(this.range.start)} to ${hex(this.range.end)})`,
      );
    }
    const other = this.#allocations.find((taken) => start < taken.end && taken.start < end);
    if (other !== undefined) {
      throw new MachineError(
        'OVERLAP',
        `${owner} at ${hex(start)} overlaps ${other.owner} at ${hex(other.start)} in ${this.#name}`,
      );
    }
    const index = this.#allocations.findIndex((taken) => taken.start > start);
    this.#allocations.splice(index < 0 ? this.#allocations.length : index, 0, { start, end, owner });
  }

  /** What was handed out, in order of address. */
  get allocations(): readonly Allocation[] {
    return this.#allocations;
  }
}

/** An address as people write it. */
export function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
