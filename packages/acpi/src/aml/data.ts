import { little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { encodeInteger, encodeName, encodePackage } from './encoding.ts';
import { type Data, encodeValue, type Term, term, type Value } from './term.ts';

// Constants, ACPI 6.4 section 20.2.3. Integers and strings are JavaScript's own.

/** The object of that name, such as `\_SB.PC00` or `^FOO`. @throws AcpiError BAD_NAME */
export function Path(name: string): Term<'name'> {
  return term('name', encodeName(name));
}

/** ASL's `Buffer` with these bytes. */
export function ByteBuffer(bytes: Uint8Array): Term<'data'> {
  return term('data', encodePackage([0x11], [encodeInteger(bytes.length), bytes]));
}

/** ASL's `Buffer` of zeros whose length in bytes is computed when the guest gets there. */
export function BufferOfLength(length: Value): Term<'expression'> {
  return term('expression', encodePackage([0x11], [encodeValue(length)]));
}

/**
 * Up to 255 constants, or names of objects.
 * @throws AcpiError OUT_OF_RANGE when there are more: use {@link VarPackage}
 */
export function Package(elements: readonly (Data | Term<'name'>)[]): Term<'data'> {
  const count = little(elements.length, 1, 'elements of a package');
  return term('data', encodePackage([0x12], [count, ...elements.map(encodeValue)]));
}

/** A package whose number of elements is computed when the guest gets there; those not given are uninitialised. */
export function VarPackage(
  count: Value,
  elements: readonly (Data | Term<'name'>)[] = [],
): Term<'expression'> {
  return term('expression', encodePackage([0x13], [encodeValue(count), ...elements.map(encodeValue)]));
}

/**
 * The integer for an EISA or PNP id such as `PNP0A08`: section 19.6.36.
 * @throws AcpiError BAD_NAME
 */
export function EisaId(id: string): number {
  const [, vendor = '', product = ''] = /^([A-Z]{3})([0-9A-F]{4})$/.exec(id) ?? [];
  if (vendor === '') {
    throw new AcpiError('BAD_NAME', `${JSON.stringify(id)} is no EISA id: three letters, four hex digits.`);
  }
  const letters = [...vendor].reduce((bits, letter) => (bits << 5) | (letter.charCodeAt(0) - 0x40), 0);
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, letters);
  view.setUint16(2, Number.parseInt(product, 16));
  return view.getUint32(0, true);
}

/**
 * A buffer with a UUID, whose first three groups are little-endian: section 19.6.142.
 * @throws AcpiError BAD_VALUE
 */
export function ToUUID(uuid: string): Term<'data'> {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) {
    throw new AcpiError('BAD_VALUE', `${JSON.stringify(uuid)} is no UUID.`);
  }
  const [first = '', second = '', third = '', ...rest] = uuid.split('-');
  const groups = [first, second, third].map((group) => bytesOf(group).reverse());
  return ByteBuffer(Uint8Array.from([...groups.flat(), ...bytesOf(rest.join(''))]));
}

const bytesOf = (hex: string) => (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));

/** A string in UTF-16, as `_STR` has it, with its terminator. */
export function Unicode(text: string): Term<'data'> {
  const units = Array.from({ length: text.length + 1 }, (_, i) => text.charCodeAt(i) || 0);
  return ByteBuffer(Uint8Array.from(units.flatMap((unit) => [unit & 0xff, unit >> 8])));
}

/** Calls a method; with as many values as it takes. */
export function Call(method: string, ...values: readonly Value[]): Term<'expression'> {
  return term('expression', encodeName(method), ...values.map(encodeValue));
}
