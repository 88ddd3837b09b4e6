import { concat, little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { type AcpiTable, createTable, type OemIdentity, tableHeader } from './header.ts';

/** A processor. Ids above 254 make it an x2APIC. */
export interface MadtProcessor {
  /** `_UID` of its device, if it has one. */
  readonly uid: number;
  readonly apicId: number;
  /** Whether it can be used now; true unless given. */
  readonly enabled?: boolean;
  /** Whether it can be plugged in later; false unless given. */
  readonly onlineCapable?: boolean;
}

export interface MadtIoApic {
  readonly id: number;
  readonly address: number;
  /** The global system interrupt of its first input. */
  readonly interruptBase: number;
}

/** What the ISA bus says of an interrupt (edge-triggered, active high) does not hold for this one. */
export interface MadtInterruptOverride {
  /** The interrupt's number on the ISA bus. */
  readonly isaInterrupt: number;
  readonly globalInterrupt: number;
  readonly trigger: 'conforms' | 'edge' | 'level';
  readonly polarity: 'conforms' | 'active-high' | 'active-low';
}

export interface MadtOptions {
  readonly localApicAddress: number;
  /** Whether there are also two 8259s that must be masked: PCAT_COMPAT. */
  readonly has8259: boolean;
  readonly processors: readonly MadtProcessor[];
  readonly ioApics: readonly MadtIoApic[];
  readonly overrides: readonly MadtInterruptOverride[];
  /** The local interrupt input (0 or 1) of all processors that is an NMI. */
  readonly nmiInput?: number;
}

const LOCAL_APIC = 0;
const IO_APIC = 1;
const INTERRUPT_SOURCE_OVERRIDE = 2;
const LOCAL_APIC_NMI = 4;
const LOCAL_X2APIC = 9;
const LOCAL_X2APIC_NMI = 0x0a;

const PCAT_COMPAT = 1 << 0;
const ENABLED = 1 << 0;
const ONLINE_CAPABLE = 1 << 1;

/** An APIC id of 8 bits, of which 255 is the broadcast. */
const MAX_APIC_ID = 254;

const ISA_BUS = 0;

/** Bytes between the header and the first of the interrupt controller structures. */
const FIXED_LENGTH = 8;

/** The Multiple APIC Description Table, ACPI 6.4 section 5.2.12: processors and interrupt controllers. */
export function createMadt(oem: OemIdentity, options: MadtOptions): AcpiTable {
  const { localApicAddress, has8259, processors, ioApics, overrides, nmiInput } = options;
  const structures = [
    ...processors.map(processor),
    ...ioApics.map(ioApic),
    ...overrides.map(interruptOverride),
  ];
  if (nmiInput !== undefined) {
    // All ones mean every processor.
    structures.push(structure(LOCAL_APIC_NMI, [0xff, 1], [0, 2], [nmiInput, 1]));
    if (processors.some(isX2Apic)) {
      structures.push(structure(LOCAL_X2APIC_NMI, [0, 2], [0xffff_ffff, 4], [nmiInput, 1], [0, 2], [0, 1]));
    }
  }
  return createTable('APIC', 5, oem, [
    little(localApicAddress, 4, 'address of the local APIC'),
    little(has8259 ? PCAT_COMPAT : 0, 4, 'flags'),
    ...structures,
  ]);
}

/** Type, length and fields, each of so many bytes. */
function structure(type: number, ...fields: readonly (readonly [number, 1 | 2 | 4])[]): Uint8Array {
  const body = concat(fields.map(([value, width]) => little(value, width, `MADT structure ${type}`)));
  return concat([Uint8Array.of(type, body.length + 2), body]);
}

const isX2Apic = ({ apicId, uid }: MadtProcessor) => apicId > MAX_APIC_ID || uid > MAX_APIC_ID;

function processor(options: MadtProcessor): Uint8Array {
  const { uid, apicId, enabled = true, onlineCapable = false } = options;
  const flags = (enabled ? ENABLED : 0) | (onlineCapable ? ONLINE_CAPABLE : 0);
  return isX2Apic(options)
    ? structure(LOCAL_X2APIC, [0, 2], [apicId, 4], [flags, 4], [uid, 4])
    : structure(LOCAL_APIC, [uid, 1], [apicId, 1], [flags, 4]);
}

function ioApic({ id, address, interruptBase }: MadtIoApic): Uint8Array {
  return structure(IO_APIC, [id, 1], [0, 1], [address, 4], [interruptBase, 4]);
}

/** MPS INTI flags, table 5.26. */
function interruptOverride(options: MadtInterruptOverride): Uint8Array {
  const { isaInterrupt, globalInterrupt, trigger, polarity } = options;
  const flags =
    { conforms: 0, 'active-high': 1, 'active-low': 3 }[polarity] |
    ({ conforms: 0, edge: 1, level: 3 }[trigger] << 2);
  const fields: [number, 1 | 2 | 4][] = [
    [ISA_BUS, 1],
    [isaInterrupt, 1],
    [globalInterrupt, 4],
    [flags, 2],
  ];
  return structure(INTERRUPT_SOURCE_OVERRIDE, ...fields);
}

/** An interrupt controller structure as it stands in a table. */
interface MadtStructure {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** @throws AcpiError BAD_TABLE when a structure does not end where it should */
function parseStructures({ bytes }: AcpiTable): readonly MadtStructure[] {
  const structures: MadtStructure[] = [];
  for (let offset = tableHeader.size + FIXED_LENGTH; offset < bytes.length; ) {
    const [type = 0, length = 0] = bytes.subarray(offset, offset + 2);
    if (length < 2 || offset + length > bytes.length) {
      throw new AcpiError('BAD_TABLE', `The MADT has a structure at ${offset} of ${length} bytes.`);
    }
    structures.push({ type, bytes: bytes.subarray(offset, offset + length) });
    offset += length;
  }
  return structures;
}

/**
 * `table` with the interrupt source overrides of `other` behind its own.
 * @throws AcpiError BAD_TABLE when one of them is no MADT that can be read
 */
export function mergeMadt(table: AcpiTable, other: AcpiTable, oem: OemIdentity): AcpiTable {
  const revision = tableHeader.attach(table.bytes.buffer, table.bytes.byteOffset).revision;
  const overrides = parseStructures(other).filter(({ type }) => type === INTERRUPT_SOURCE_OVERRIDE);
  const body = [table.bytes.subarray(tableHeader.size), ...overrides.map(({ bytes }) => bytes)];
  return createTable('APIC', revision, oem, body);
}
