import { MachineError, type SmbiosOptions } from '@tsvmm/arch';
import { bytes, type Fields, type Layout, struct, u8, u16, u32, u64 } from '@tsvmm/struct';
import { type MemoryImage, sumOf } from './memory-image.ts';

// The System Management BIOS tables (DMTF DSP0134, version 3.2): what `dmidecode` shows of a machine.

/** Section 5.2.2: the entry point of 64-bit tables. */
const entryPoint = struct(
  {
    anchor: bytes(5),
    checksum: u8,
    length: u8,
    majorVersion: u8,
    minorVersion: u8,
    docrev: u8,
    entryPointRevision: u8,
    reserved: u8,
    structureTableMaximumSize: u32,
    structureTableAddress: u64,
  },
  { name: 'SMBIOS entry point', packed: true },
);

/** The structures start at the next multiple of 16 bytes. */
const STRUCTURES_OFFSET = 32;

const header = struct({ type: u8, length: u8, handle: u16 }, { packed: true });

/** Section 7.1, type 0. Strings are numbers of the strings behind the structure. */
const biosInformation = struct(
  {
    header,
    vendor: u8,
    version: u8,
    startingAddressSegment: u16,
    releaseDate: u8,
    romSize: u8,
    characteristics: u64,
    characteristicsExtension1: u8,
    characteristicsExtension2: u8,
    systemBiosMajorRelease: u8,
    systemBiosMinorRelease: u8,
    embeddedControllerMajorRelease: u8,
    embeddedControllerMinorRelease: u8,
    extendedRomSize: u16,
  },
  { name: 'BIOS information', packed: true },
);

const PCI_IS_SUPPORTED = 2 ** 7;
const ACPI_IS_SUPPORTED = 1 << 0;
const IS_VIRTUAL_MACHINE = 1 << 4;
/** Of a release that is not known. */
const NO_RELEASE = 0xff;

/** Section 7.2, type 1. */
const systemInformation = struct(
  {
    header,
    manufacturer: u8,
    productName: u8,
    version: u8,
    serialNumber: u8,
    uuid: bytes(16),
    wakeUpType: u8,
    skuNumber: u8,
    family: u8,
  },
  { name: 'system information', packed: true },
);

const POWER_SWITCH = 6;

/** Section 7.12, type 11. */
const oemStringsInformation = struct({ header, count: u8 }, { name: 'OEM strings', packed: true });

/** Section 7.43, type 127. */
const endOfTable = struct({ header }, { name: 'end of table', packed: true });

const Type = { bios: 0, system: 1, oemStrings: 11, end: 127 } as const;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Makes the entry point with its structures behind it.
 *
 * @param address where it goes: a multiple of 16 from 0xF0000 to 0xFFFFF, where it is looked for
 * @param size bytes that there are from there on
 * @throws MachineError MEMORY_TOO_SMALL when the strings do not fit, UNSUPPORTED for values that the tables cannot hold
 */
export function smbiosTables(address: number, size: number, options: SmbiosOptions): MemoryImage {
  const image = new Uint8Array(size);
  const structures = new StructureTable(image.subarray(STRUCTURES_OFFSET));
  addBios(structures, options);
  addSystem(structures, options);
  addOemStrings(structures, options.oemStrings ?? []);
  structures.add(Type.end, endOfTable, []);

  const entry = entryPoint.attach(image.buffer);
  entry.anchor.set(encoder.encode('_SM3_'));
  entry.length = entryPoint.size;
  entry.majorVersion = 3;
  entry.minorVersion = 2;
  entry.entryPointRevision = 1;
  entry.structureTableMaximumSize = structures.length;
  entry.structureTableAddress = address + STRUCTURES_OFFSET;
  entry.checksum = -sumOf(image.subarray(0, entryPoint.size)) & 0xff;
  return { address, bytes: image.slice(0, STRUCTURES_OFFSET + structures.length) };
}

function addBios(structures: StructureTable, options: SmbiosOptions): void {
  const { biosVendor = 'tsvmm', biosVersion = '0' } = options;
  const { fields, stringNumbers } = structures.add(Type.bios, biosInformation, [biosVendor, biosVersion]);
  [fields.vendor = 0, fields.version = 0] = stringNumbers;
  fields.characteristics = PCI_IS_SUPPORTED;
  fields.characteristicsExtension1 = ACPI_IS_SUPPORTED;
  fields.characteristicsExtension2 = IS_VIRTUAL_MACHINE;
  fields.systemBiosMajorRelease = NO_RELEASE;
  fields.systemBiosMinorRelease = NO_RELEASE;
  fields.embeddedControllerMajorRelease = NO_RELEASE;
  fields.embeddedControllerMinorRelease = NO_RELEASE;
}

function addSystem(structures: StructureTable, options: SmbiosOptions): void {
  const { manufacturer = 'tsvmm', productName = 'tsvmm', serialNumber = '', uuid } = options;
  const strings = [manufacturer, productName, serialNumber];
  const { fields, stringNumbers } = structures.add(Type.system, systemInformation, strings);
  [fields.manufacturer = 0, fields.productName = 0, fields.serialNumber = 0] = stringNumbers;
  if (uuid !== undefined) fields.uuid.set(uuidBytes(uuid));
  fields.wakeUpType = POWER_SWITCH;
}

function addOemStrings(structures: StructureTable, strings: readonly string[]): void {
  if (strings.length === 0) return;
  if (strings.length > 255) {
    throw new MachineError(
      'UNSUPPORTED',
      `SMBIOS has room for 255 OEM strings, not ${strings.length}: leave some out`,
    );
  }
  const { fields } = structures.add(Type.oemStrings, oemStringsInformation, strings);
  fields.count = strings.length;
}

/** Structures one after the other, each with its strings behind it: section 6.1. */
class StructureTable {
  readonly #image: Uint8Array<ArrayBuffer>;
  #handle = 0;
  length = 0;

  constructor(image: Uint8Array<ArrayBuffer>) {
    this.#image = image;
  }

  /**
   * Adds a structure of zeros.
   *
   * @returns its fields, and the numbers by which they refer to the strings: 0 for an empty one
   */
  add<F extends Fields>(type: number, layout: Layout<F>, strings: readonly string[]) {
    const stringSet = encodeStrings(strings);
    const start = this.length;
    this.length += layout.size + stringSet.length;
    if (this.length > this.#image.length) {
      throw new MachineError(
        'MEMORY_TOO_SMALL',
        `the SMBIOS tables have room for ${this.#image.length} bytes: give fewer or shorter strings`,
      );
    }
    const address = this.#image.byteOffset + start;
    Object.assign(header.attach(this.#image.buffer, address), {
      type,
      length: layout.size,
      handle: this.#handle,
    });
    this.#handle += 1;
    this.#image.set(stringSet, start + layout.size);
    let number = 0;
    const stringNumbers = strings.map((text) => (text === '' ? 0 : ++number));
    return { fields: layout.attach(this.#image.buffer, address), stringNumbers };
  }
}

/** The strings with a NUL each and one at the end, or two NULs when there are none. Empty ones cannot be there. */
function encodeStrings(strings: readonly string[]): Uint8Array {
  const texts = strings.filter((text) => text !== '');
  const bad = texts.find((text) => text.includes('\0'));
  if (bad !== undefined) {
    throw new MachineError(
      'UNSUPPORTED',
      `SMBIOS strings end at a NUL: ${JSON.stringify(bad)} has one inside`,
    );
  }
  return encoder.encode(texts.length === 0 ? '\0\0' : `${texts.join('\0')}\0\0`);
}

const encoder = new TextEncoder();

/** Section 7.2.1: the first three groups are little-endian. */
function uuidBytes(uuid: string): readonly number[] {
  if (!UUID.test(uuid)) {
    throw new MachineError(
      'UNSUPPORTED',
      `${JSON.stringify(uuid)} is no UUID: give 32 hex digits as 8-4-4-4-12`,
    );
  }
  const [first = '', second = '', third = '', ...rest] = uuid.split('-');
  const bytesOf = (hex: string) => (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
  const swapped = [first, second, third].flatMap((group) => bytesOf(group).reverse());
  return [...swapped, ...bytesOf(rest.join(''))];
}
