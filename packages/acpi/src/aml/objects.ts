import { little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { encodeName, encodePackage } from './encoding.ts';
import { type Data, encodeList, encodeValue, type ListTerm, type Term, term } from './term.ts';

// What is in the namespace, ACPI 6.4 sections 20.2.5.1 and 20.2.5.2. Names may be paths.

const EXTENDED = 0x5b;

/** Opens an object that is there already, such as `\_SB`. */
export function Scope(name: string, body: readonly ListTerm[]): Term<'object'> {
  return term('object', encodePackage([0x10], [encodeName(name), encodeList(body)]));
}

export function Device(name: string, body: readonly ListTerm[]): Term<'object'> {
  return term('object', encodePackage([EXTENDED, 0x82], [encodeName(name), encodeList(body)]));
}

export function ThermalZone(name: string, body: readonly ListTerm[]): Term<'object'> {
  return term('object', encodePackage([EXTENDED, 0x85], [encodeName(name), encodeList(body)]));
}

/** A source of power. @param systemLevel the deepest sleep state in which it must stay on; 0 for S0 */
export function PowerResource(
  name: string,
  systemLevel: number,
  order: number,
  body: readonly ListTerm[],
): Term<'object'> {
  const level = little(systemLevel, 1, 'system level of a power resource');
  const content = [encodeName(name), level, little(order, 2, 'order of a power resource'), encodeList(body)];
  return term('object', encodePackage([EXTENDED, 0x84], content));
}

/** A constant with a name. */
export function Name(name: string, value: Data): Term<'object'> {
  return term('object', 0x08, encodeName(name), encodeValue(value));
}

/** Another name of an object. */
export function Alias(source: string, alias: string): Term<'object'> {
  return term('object', 0x06, encodeName(source), encodeName(alias));
}

export interface MethodOptions {
  /** How many arguments it takes, up to 7; none unless given. */
  readonly arguments?: number;
  /** Whether one thread at a time may be in it; a method that makes named objects must say so. */
  readonly serialized?: boolean;
  /** Level of its mutex, 0 to 15. */
  readonly syncLevel?: number;
}

export function Method(name: string, options: MethodOptions, body: readonly ListTerm[]): Term<'object'> {
  const { arguments: count = 0, serialized = false, syncLevel = 0 } = options;
  if (!Number.isInteger(count) || count < 0 || count > 7) {
    throw new AcpiError('OUT_OF_RANGE', `${name}: a method takes up to 7 arguments, not ${count}.`);
  }
  const flags = count | (serialized ? 1 << 3 : 0) | (level(syncLevel, name) << 4);
  return term('object', encodePackage([0x14], [encodeName(name), Uint8Array.of(flags), encodeList(body)]));
}

/** @param syncLevel the order in which mutexes may be acquired, 0 to 15 */
export function Mutex(name: string, syncLevel = 0): Term<'object'> {
  return term('object', EXTENDED, 0x01, encodeName(name), level(syncLevel, name));
}

function level(syncLevel: number, name: string): number {
  if (Number.isInteger(syncLevel) && syncLevel >= 0 && syncLevel <= 15) return syncLevel;
  throw new AcpiError('OUT_OF_RANGE', `${name}: a sync level is 0 to 15, not ${syncLevel}.`);
}

export function Event(name: string): Term<'object'> {
  return term('object', EXTENDED, 0x02, encodeName(name));
}

/** ACPI 6.4, table 19.27; `Any` for objects of which nothing is said. */
const EXTERNAL_TYPES = {
  Any: 0,
  Integer: 1,
  String: 2,
  Buffer: 3,
  Package: 4,
  FieldUnit: 5,
  Device: 6,
  Event: 7,
  Method: 8,
  Mutex: 9,
  OpRegion: 10,
  PowerResource: 11,
  ThermalZone: 13,
  BufferField: 14,
} as const;

/** Says that another table has the object. @param argumentCount of a method, up to 7 */
export function External(name: string, type: keyof typeof EXTERNAL_TYPES, argumentCount = 0): Term<'object'> {
  const count = little(argumentCount, 1, `arguments of ${name}`);
  return term('object', 0x15, encodeName(name), EXTERNAL_TYPES[type], count);
}
