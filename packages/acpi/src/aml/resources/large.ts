import { concat, little } from '../../bytes.ts';
import type { InterruptMode } from './small.ts';
import type { Resource } from './template.ts';

// Large resource descriptors, ACPI 6.4 section 6.4.3, without the address spaces.

/** A descriptor with its tag and length. */
export function large(tag: number, parts: readonly Uint8Array[]): Resource {
  const body = concat(parts);
  return {
    resource: concat([Uint8Array.of(tag), little(body.length, 2, 'length of a resource descriptor'), body]),
  };
}

export type Writability = 'ReadOnly' | 'ReadWrite';

/** Memory below 4 GiB that does not move. */
export function Memory32Fixed(writability: Writability, base: number, length: number): Resource {
  return large(0x86, [
    Uint8Array.of(writability === 'ReadWrite' ? 1 : 0),
    little(base, 4, 'base of Memory32Fixed'),
    little(length, 4, 'length of Memory32Fixed'),
  ]);
}

/** Memory below 4 GiB whose base may be anywhere from `minimum` to `maximum`. */
export function Memory32(
  writability: Writability,
  range: {
    readonly minimum: number;
    readonly maximum: number;
    readonly alignment: number;
    readonly length: number;
  },
): Resource {
  return large(0x85, [
    Uint8Array.of(writability === 'ReadWrite' ? 1 : 0),
    little(range.minimum, 4, 'lowest base of Memory32'),
    little(range.maximum, 4, 'highest base of Memory32'),
    little(range.alignment, 4, 'alignment of Memory32'),
    little(range.length, 4, 'length of Memory32'),
  ]);
}

export interface InterruptOptions extends InterruptMode {
  /** Whether the device uses the interrupts or provides them; ResourceConsumer unless given. */
  readonly usage?: 'ResourceConsumer' | 'ResourceProducer';
  /** Whether it can wake the system. */
  readonly wake?: boolean;
}

/** Global system interrupts, up to 255. */
export function Interrupt(options: InterruptOptions, interrupts: readonly number[]): Resource {
  const { usage = 'ResourceConsumer', trigger, polarity, sharing, wake = false } = options;
  const flags =
    (usage === 'ResourceConsumer' ? 1 << 0 : 0) |
    (trigger === 'Edge' ? 1 << 1 : 0) |
    (polarity === 'ActiveLow' ? 1 << 2 : 0) |
    (sharing === 'Shared' ? 1 << 3 : 0) |
    (wake ? 1 << 4 : 0);
  return large(0x89, [
    Uint8Array.of(flags),
    little(interrupts.length, 1, 'number of interrupts'),
    ...interrupts.map((interrupt) => little(interrupt, 4, 'interrupt')),
  ]);
}
