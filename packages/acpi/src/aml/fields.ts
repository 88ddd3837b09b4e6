import { AcpiError } from '../errors.ts';
import { encodeName, encodeNameSegment, encodePackage, encodePkgLength } from './encoding.ts';
import { encodeValue, type Term, term, type Value } from './term.ts';

// Operation regions and the fields in them, and the fields of buffers: ACPI 6.4 section 20.2.5.2.

const EXTENDED = 0x5b;

const REGION_SPACES = {
  SystemMemory: 0,
  SystemIO: 1,
  PCI_Config: 2,
  EmbeddedControl: 3,
  SMBus: 4,
  SystemCMOS: 5,
  PciBarTarget: 6,
  IPMI: 7,
  GeneralPurposeIO: 8,
  GenericSerialBus: 9,
  PCC: 10,
} as const;

/** Names `length` bytes of an address space from `offset` on. */
export function OperationRegion(
  name: string,
  space: keyof typeof REGION_SPACES,
  offset: Value,
  length: Value,
): Term<'object'> {
  const range = [encodeValue(offset), encodeValue(length)];
  return term('object', EXTENDED, 0x80, encodeName(name), REGION_SPACES[space], ...range);
}

const ACCESS_TYPES = {
  AnyAcc: 0,
  ByteAcc: 1,
  WordAcc: 2,
  DWordAcc: 3,
  QWordAcc: 4,
  BufferAcc: 5,
} as const;

const UPDATE_RULES = { Preserve: 0, WriteAsOnes: 1, WriteAsZeros: 2 } as const;

export interface FieldOptions {
  /** Width of the accesses made; AnyAcc unless given. */
  readonly access?: keyof typeof ACCESS_TYPES;
  /** Whether the global lock is held during an access. */
  readonly lock?: boolean;
  /** What the other bits of an access become; Preserve unless given. */
  readonly update?: keyof typeof UPDATE_RULES;
}

/** A piece of a region: a named one, one without a name, or a jump to a bit counted from the start of the region. */
export type FieldUnit =
  | { readonly name: string; readonly bits: number }
  | { readonly reserved: number }
  | { readonly offset: number };

/** Names the bits of a region, from its first on. */
export function Field(region: string, options: FieldOptions, units: readonly FieldUnit[]): Term<'object'> {
  const content = [encodeName(region), Uint8Array.of(fieldFlags(options)), ...encodeUnits(units)];
  return term('object', encodePackage([EXTENDED, 0x81], content));
}

/** Names the bits of what is behind an index and a data register. */
export function IndexField(
  index: string,
  data: string,
  options: FieldOptions,
  units: readonly FieldUnit[],
): Term<'object'> {
  const names = [encodeName(index), encodeName(data)];
  const content = [...names, Uint8Array.of(fieldFlags(options)), ...encodeUnits(units)];
  return term('object', encodePackage([EXTENDED, 0x86], content));
}

function fieldFlags({ access = 'AnyAcc', lock = false, update = 'Preserve' }: FieldOptions): number {
  return ACCESS_TYPES[access] | (lock ? 1 << 4 : 0) | (UPDATE_RULES[update] << 5);
}

function encodeUnits(units: readonly FieldUnit[]): readonly Uint8Array[] {
  let position = 0;
  const skip = (bits: number) => {
    position += bits;
    return [Uint8Array.of(0), encodePkgLength(bits)];
  };
  return units.flatMap((unit) => {
    if ('reserved' in unit) return skip(unit.reserved);
    if ('offset' in unit) {
      if (unit.offset < position) {
        throw new AcpiError(
          'BAD_VALUE',
          `A field cannot go back from bit ${position} to bit ${unit.offset}.`,
        );
      }
      return skip(unit.offset - position);
    }
    position += unit.bits;
    return [encodeNameSegment(unit.name), encodePkgLength(unit.bits)];
  });
}

function createField(opcode: number) {
  return (buffer: Value, offset: Value, name: string): Term<'object'> =>
    term('object', opcode, encodeValue(buffer), encodeValue(offset), encodeName(name));
}

// A field in a buffer, at an offset in bytes (in bits for CreateBitField).
export const CreateBitField = createField(0x8d);
export const CreateByteField = createField(0x8c);
export const CreateWordField = createField(0x8b);
export const CreateDWordField = createField(0x8a);
export const CreateQWordField = createField(0x8f);

/** A field of any number of bits in a buffer, at an offset in bits. */
export function CreateField(buffer: Value, offset: Value, bits: Value, name: string): Term<'object'> {
  const values = [encodeValue(buffer), encodeValue(offset), encodeValue(bits)];
  return term('object', EXTENDED, 0x13, ...values, encodeName(name));
}
