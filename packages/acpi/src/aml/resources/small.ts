import { concat, little } from '../../bytes.ts';
import { AcpiError } from '../../errors.ts';
import type { Resource } from './template.ts';

// Small resource descriptors, ACPI 6.4 section 6.4.2: those of ISA's devices.

export interface InterruptMode {
  readonly trigger: 'Edge' | 'Level';
  readonly polarity: 'ActiveHigh' | 'ActiveLow';
  readonly sharing: 'Exclusive' | 'Shared';
}

/** Interrupts 0 to 15 of the 8259, of which the device has one. @throws AcpiError OUT_OF_RANGE */
export function IRQ({ trigger, polarity, sharing }: InterruptMode, interrupts: readonly number[]): Resource {
  const flags =
    (trigger === 'Edge' ? 1 << 0 : 0) |
    (polarity === 'ActiveLow' ? 1 << 3 : 0) |
    (sharing === 'Shared' ? 1 << 4 : 0);
  return { resource: concat([Uint8Array.of(0x23), mask(interrupts, 2), Uint8Array.of(flags)]) };
}

/** {@link IRQ}, edge-triggered, active high and not shared, as on the ISA bus. */
export function IRQNoFlags(interrupts: readonly number[]): Resource {
  return { resource: concat([Uint8Array.of(0x22), mask(interrupts, 2)]) };
}

export interface DmaMode {
  readonly type: 'Compatibility' | 'TypeA' | 'TypeB' | 'TypeF';
  readonly busMaster: boolean;
  readonly transfer: 'Transfer8' | 'Transfer8_16' | 'Transfer16';
}

/** Channels 0 to 7 of the DMA controller, of which the device has one. @throws AcpiError OUT_OF_RANGE */
export function DMA({ type, busMaster, transfer }: DmaMode, channels: readonly number[]): Resource {
  const flags =
    ['Transfer8', 'Transfer8_16', 'Transfer16'].indexOf(transfer) |
    (busMaster ? 1 << 2 : 0) |
    (['Compatibility', 'TypeA', 'TypeB', 'TypeF'].indexOf(type) << 5);
  return { resource: concat([Uint8Array.of(0x2a), mask(channels, 1), Uint8Array.of(flags)]) };
}

/** A bit for each of the numbers. */
function mask(numbers: readonly number[], width: 1 | 2): Uint8Array {
  const wrong = numbers.find((number) => !Number.isInteger(number) || number < 0 || number >= 8 * width);
  if (wrong !== undefined) {
    throw new AcpiError('OUT_OF_RANGE', `${wrong} is no ISA interrupt (0 to 15) or DMA channel (0 to 7).`);
  }
  return little(
    numbers.reduce((bits, number) => bits | (1 << number), 0),
    width,
    'mask',
  );
}

export interface IoRange {
  /** Decode16 unless given. */
  readonly decode?: 'Decode10' | 'Decode16';
  readonly minimum: number;
  /** Highest base address; `minimum` unless given, which makes it a range that does not move. */
  readonly maximum?: number;
  /** Of the base address; 1 unless given. */
  readonly alignment?: number;
  /** Ports, up to 255. */
  readonly length: number;
}

/** I/O ports. */
export function IO(range: IoRange): Resource {
  const { decode = 'Decode16', minimum, maximum = minimum, alignment = 1, length } = range;
  return {
    resource: concat([
      Uint8Array.of(0x47, decode === 'Decode16' ? 1 : 0),
      little(minimum, 2, 'lowest base of IO'),
      little(maximum, 2, 'highest base of IO'),
      little(alignment, 1, 'alignment of IO'),
      little(length, 1, 'length of IO'),
    ]),
  };
}

/** I/O ports below 1024 for a device that decodes ten bits of the address. */
export function FixedIO(base: number, length: number): Resource {
  return {
    resource: concat([
      Uint8Array.of(0x4b),
      little(base, 2, 'base of FixedIO'),
      little(length, 1, 'length of FixedIO'),
    ]),
  };
}
