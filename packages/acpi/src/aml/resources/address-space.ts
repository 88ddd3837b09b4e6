import { concat, little } from '../../bytes.ts';
import { AcpiError } from '../../errors.ts';
import { large, type Writability } from './large.ts';
import type { Resource } from './template.ts';

// Address space descriptors, ACPI 6.4 section 6.4.3.5: what bridges decode, in 16, 32 or 64 bits.

/** A range of addresses; both ends are part of it. */
export interface AddressRange {
  readonly minimum: number | bigint;
  readonly maximum: number | bigint;
  /** Addresses; `maximum` - `minimum` + 1 unless given. 0 in a template that is filled in later. */
  readonly length?: number | bigint;
  /** Alignment of the base minus one; 0 unless given. */
  readonly granularity?: number | bigint;
  /** What is added to an address on this side of the bridge to have it on the other; 0 unless given. */
  readonly translation?: number | bigint;
  /** Whether the device uses the range or passes it on to its children; ResourceProducer unless given. */
  readonly usage?: 'ResourceConsumer' | 'ResourceProducer';
  /** PosDecode unless given. */
  readonly decode?: 'PosDecode' | 'SubDecode';
  /** Whether the ends are fixed, which they are unless given. */
  readonly minimumFixed?: boolean;
  readonly maximumFixed?: boolean;
}

export interface MemoryRange extends AddressRange {
  /** NonCacheable unless given. */
  readonly caching?: 'NonCacheable' | 'Cacheable' | 'WriteCombining' | 'Prefetchable';
  /** ReadWrite unless given. */
  readonly writability?: Writability;
}

export interface IoAddressRange extends AddressRange {
  /** EntireRange unless given. */
  readonly ranges?: 'NonISAOnly' | 'ISAOnly' | 'EntireRange';
}

type Width = 2 | 4 | 8;

const TAGS = { 2: 0x88, 4: 0x87, 8: 0x8a } as const;
const NAMES = { 2: 'Word', 4: 'DWord', 8: 'QWord' } as const;

const MEMORY_RANGE = 0;
const IO_RANGE = 1;
const BUS_NUMBER_RANGE = 2;

function describe(width: Width, type: number, typeFlags: number, range: AddressRange): Resource {
  const { minimum, maximum, granularity = 0, translation = 0 } = range;
  const length = range.length ?? BigInt(maximum) - BigInt(minimum) + 1n;
  const what = `${NAMES[width]} address space`;
  if (BigInt(maximum) < BigInt(minimum)) {
    throw new AcpiError('BAD_VALUE', `${what}: a range cannot end at ${maximum}, before ${minimum}.`);
  }
  const flags =
    (range.usage === 'ResourceConsumer' ? 1 << 0 : 0) |
    (range.decode === 'SubDecode' ? 1 << 1 : 0) |
    (range.minimumFixed === false ? 0 : 1 << 2) |
    (range.maximumFixed === false ? 0 : 1 << 3);
  const values = [granularity, minimum, maximum, translation, length];
  return large(TAGS[width], [
    Uint8Array.of(type, flags, typeFlags),
    concat(values.map((value) => little(value, width, what))),
  ]);
}

function memory(width: Width) {
  return (range: MemoryRange): Resource => {
    const { caching = 'NonCacheable', writability = 'ReadWrite' } = range;
    const cache = ['NonCacheable', 'Cacheable', 'WriteCombining', 'Prefetchable'].indexOf(caching);
    return describe(width, MEMORY_RANGE, (writability === 'ReadWrite' ? 1 : 0) | (cache << 1), range);
  };
}

function io(width: Width) {
  return (range: IoAddressRange): Resource => {
    const { ranges = 'EntireRange' } = range;
    const flags = { NonISAOnly: 1, ISAOnly: 2, EntireRange: 3 }[ranges];
    return describe(width, IO_RANGE, flags, range);
  };
}

/** Memory below 4 GiB. */
export const DWordMemory = memory(4);
/** Memory anywhere. */
export const QWordMemory = memory(8);
export const WordIO = io(2);
export const DWordIO = io(4);
export const QWordIO = io(8);

/** Numbers of the buses behind a bridge. */
export function WordBusNumber(range: AddressRange): Resource {
  return describe(2, BUS_NUMBER_RANGE, 0, range);
}
