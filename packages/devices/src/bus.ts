import { DeviceError } from './errors.ts';

/** How many bytes one bus access moves. */
export type AccessSize = 1 | 2 | 4 | 8;

/**
 * One access on a bus, read or write. Whoever drives the bus makes one and uses it again for every access; nothing
 * is allocated on the way to the device and back.
 */
export interface BusAccess {
  /** Bytes from the start of the device's range; set by the bus. */
  offset: number;
  size: AccessSize;
  /** Bits 31…0 of the value, as an unsigned number. */
  low: number;
  /** Bits 63…32 of the value, as an unsigned number; zero unless `size` is 8. */
  high: number;
}

/** What a device shows on a bus. An access always lies whole inside the device's range. */
export interface BusDevice {
  /** Sets `access.low` (and `access.high` for 8 bytes); bits beyond `access.size` are cut off by the bus. */
  read(access: BusAccess): void;
  write(access: BusAccess): void;
}

/** Makes an access object to be used again and again. */
export function createBusAccess(): BusAccess {
  return { offset: 0, size: 4, low: 0, high: 0 };
}

/** What a read of nothing returns: all ones, at every size. */
export function readAllOnes(access: BusAccess): void {
  access.low = 0xffff_ffff;
  access.high = 0xffff_ffff;
}

/** Cuts the value to the access's size. */
function truncate(access: BusAccess): void {
  switch (access.size) {
    case 1:
      access.low &= 0xff;
      access.high = 0;
      break;
    case 2:
      access.low &= 0xffff;
      access.high = 0;
      break;
    case 4:
      access.low >>>= 0;
      access.high = 0;
      break;
    case 8:
      access.low >>>= 0;
      access.high >>>= 0;
  }
}

/**
 * An address space of devices: one instance for memory-mapped I/O, one for x86's port I/O. Addresses are exact
 * numbers below 2^53.
 */
export class Bus {
  #starts = new Float64Array(0);
  /** One past the last address. */
  #ends = new Float64Array(0);
  readonly #devices: BusDevice[] = [];
  /** Where the last access hit: guests come in runs. */
  #last = 0;

  /**
   * Claims [start, start + length) for `device`.
   * @throws DeviceError BAD_RANGE, RANGE_OVERLAP
   */
  insert(start: number, length: number, device: BusDevice): void {
    const end = start + length;
    if (!Number.isSafeInteger(start) || start < 0 || !(length > 0) || !Number.isSafeInteger(end)) {
      throw new DeviceError('BAD_RANGE', `A bus range cannot start at ${start} with ${length} bytes.`);
    }
    const position = this.#firstEndingAfter(start);
    const next = this.#starts[position];
    if (next !== undefined && next < end) {
      throw new DeviceError(
        'RANGE_OVERLAP',
        `${hexRange(start, end)} overlaps ${hexRange(next, this.#ends[position] ?? next)}: move one of the devices.`,
      );
    }
    this.#starts = insertAt(this.#starts, position, start);
    this.#ends = insertAt(this.#ends, position, end);
    this.#devices.splice(position, 0, device);
    this.#last = 0;
  }

  /**
   * Reads `access.size` bytes at `address` into `access`. What no device claims, or only in part, reads as all ones.
   * @returns whether a device answered
   */
  read(address: number, access: BusAccess): boolean {
    const device = this.#route(address, access);
    if (device) device.read(access);
    else readAllOnes(access);
    truncate(access);
    return device !== undefined;
  }

  /**
   * Writes the `access.size` low bytes of `access` at `address`; nothing happens where there is no device.
   * @returns whether a device took it
   */
  write(address: number, access: BusAccess): boolean {
    truncate(access);
    const device = this.#route(address, access);
    if (!device) return false;
    device.write(access);
    return true;
  }

  /** The device that has the whole of the access, with `access.offset` set for it. */
  #route(address: number, access: BusAccess): BusDevice | undefined {
    let index = this.#last;
    let start = this.#starts[index] ?? Number.POSITIVE_INFINITY;
    if (address < start || address >= (this.#ends[index] ?? 0)) {
      index = this.#firstEndingAfter(address);
      start = this.#starts[index] ?? Number.POSITIVE_INFINITY;
      if (address < start) return undefined;
      this.#last = index;
    }
    if (address + access.size > (this.#ends[index] ?? 0)) return undefined;
    access.offset = address - start;
    return this.#devices[index];
  }

  /** Index of the first range whose end lies after `address`; the number of ranges if there is none. */
  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function insertAt(values: Float64Array, position: number, value: number): Float64Array<ArrayBuffer> {
  const result = new Float64Array(values.length + 1);
  result.set(values.subarray(0, position));
  result[position] = value;
  result.set(values.subarray(position), position + 1);
  return result;
}

function hexRange(start: number, end: number): string {
  return `[0x${start.toString(16)}, 0x${end.toString(16)})`;
}
