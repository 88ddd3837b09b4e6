import { concat } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { encodeInteger } from './encoding.ts';

/**
 * What a piece of AML is, and with that where it can stand:
 *
 * - `object`: declares something in the namespace or opens a scope
 * - `statement`: does something without a value
 * - `data`: a constant: buffer, package
 * - `expression`: computes a value
 * - `name`: names an object
 * - `variable`: a local variable, an argument, the debug object
 * - `reference`: computes a reference to an object
 */
export type TermKind = 'object' | 'statement' | 'data' | 'expression' | 'name' | 'variable' | 'reference';

/** A piece of AML. */
export interface Term<K extends TermKind = TermKind> {
  readonly kind: K;
  readonly bytes: Uint8Array;
}

/** What may stand in a list of terms: the body of a scope, a method or a statement. */
export type ListTerm = Term<'object' | 'statement' | 'expression' | 'reference'>;

/** A constant: an integer of up to 64 bits, a string (ASCII), a buffer or a package. */
export type Data = number | bigint | string | Term<'data'>;

/** Anything that has a value. */
export type Value = Data | Term<'expression' | 'name' | 'variable' | 'reference'>;

/** Where a value can be stored. */
export type Target = Term<'name' | 'variable' | 'reference'>;

const STRING_PREFIX = 0x0d;

/** A term of the given kind. */
export function term<K extends TermKind>(kind: K, ...parts: readonly (number | Uint8Array)[]): Term<K> {
  return {
    kind,
    bytes: concat(parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : part))),
  };
}

/**
 * The AML of a value.
 * @throws AcpiError OUT_OF_RANGE, BAD_VALUE for a string that is not of the ASCII characters 0x01 to 0x7F
 */
export function encodeValue(value: Value): Uint8Array {
  if (typeof value === 'object') return value.bytes;
  if (typeof value !== 'string') return encodeInteger(value);
  const characters = Uint8Array.from(value, (character) => character.charCodeAt(0));
  if ([...value].some((character) => character < '\x01' || character > '\x7f')) {
    throw new AcpiError('BAD_VALUE', `${JSON.stringify(value)} has characters that are not ASCII.`);
  }
  return concat([Uint8Array.of(STRING_PREFIX), characters, Uint8Array.of(0)]);
}

/** The AML of a list of terms. */
export function encodeList(terms: readonly Term[]): Uint8Array {
  return concat(terms.map(({ bytes }) => bytes));
}

/** Where a result goes that nobody wants: NullName. */
const NOWHERE = Uint8Array.of(0);

/** The AML of an operator's target. */
export function encodeTarget(target: Target | undefined): Uint8Array {
  return target?.bytes ?? NOWHERE;
}
