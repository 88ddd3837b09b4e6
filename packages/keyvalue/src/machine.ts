import type { Cursor } from './cursor.ts';
import { type FieldOptions, field, type Schema } from './schema.ts';

/** Where a PCI function is. */
export interface PciAddress {
  /** PCI segment, 16 bits. */
  readonly domain: number;
  /** 8 bits. */
  readonly bus: number;
  /** 5 bits. */
  readonly device: number;
  /** 3 bits. */
  readonly function: number;
}

const PCI_ADDRESS = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([01]?[0-9a-f])\.([0-7])$/i;

/** `[DDDD:]BB:DD.F` in hexadecimal: `00:05.0`, `0001:00:1f.3`. */
export function pciAddress(options: FieldOptions<PciAddress> = {}): Schema<PciAddress> {
  const read = (cursor: Cursor) => {
    const token = cursor.string();
    const [, domain = '0', bus, device, fn] = PCI_ADDRESS.exec(token.value) ?? [];
    if (bus === undefined || device === undefined || fn === undefined) {
      const problem = 'expected a PCI address such as 00:05.0 or 0000:00:05.0';
      throw cursor.error('BAD_VALUE', problem, token.position, token.length);
    }
    const hex = (digits: string) => Number.parseInt(digits, 16);
    return { domain: hex(domain), bus: hex(bus), device: hex(device), function: hex(fn) };
  };
  return field({ read, field: {} }, options);
}

/** The address as {@link pciAddress} reads it, always with its domain: `0000:00:05.0`. */
export function formatPciAddress({ domain, bus, device, function: fn }: PciAddress): string {
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  return `${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${fn}`;
}

/** Linux is never built for more CPUs than this. */
const MAX_CPUS = 8192;
const CPU_RANGE = /([0-9]{1,7})(?:-([0-9]{1,7}))?/y;

/**
 * Numbers of CPUs, each once and in ascending order: `[0,2,4-7]`, or `0,2,4-7` when it is all of the text.
 * As an unbracketed field it is one number or one range.
 */
export function cpuSet(options: FieldOptions<number[]> = {}): Schema<number[]> {
  const read = (cursor: Cursor) => {
    // At each CPU, how many more ranges begin than have ended before it: any number of ranges in linear time.
    const begins = new Int32Array(MAX_CPUS + 1);
    if (cursor.peek() === '[') {
      cursor.open();
      readRanges(cursor, begins);
      cursor.close();
    } else if (cursor.position === 0) {
      readRanges(cursor, begins);
    } else {
      readRange(cursor, begins);
    }
    let ranges = 0;
    return [...begins.keys()].filter((cpu) => {
      ranges += begins[cpu] ?? 0;
      return ranges > 0;
    });
  };
  return field({ read, field: {} }, options);
}

function readRanges(cursor: Cursor, begins: Int32Array): void {
  while (!cursor.atEnd()) {
    readRange(cursor, begins);
    cursor.separate();
  }
}

function readRange(cursor: Cursor, begins: Int32Array): void {
  CPU_RANGE.lastIndex = cursor.position;
  const [whole = '', from, to = from] = CPU_RANGE.exec(cursor.text) ?? [];
  if (from === undefined) throw cursor.error('BAD_NUMBER', 'expected a CPU number or a range such as 4-7');
  const first = Number(from);
  const last = Number(to);
  if (last < first || last >= MAX_CPUS) {
    const problem = last < first ? 'the range ends before it starts' : `CPU numbers are below ${MAX_CPUS}`;
    throw cursor.error('OUT_OF_RANGE', problem, cursor.position, whole.length);
  }
  cursor.position += whole.length;
  begins[first] = (begins[first] ?? 0) + 1;
  begins[last + 1] = (begins[last + 1] ?? 0) - 1;
}
