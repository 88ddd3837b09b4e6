import type { Cursor, Token } from './cursor.ts';
import { nearest } from './nearest.ts';
import { type FieldOptions, field, type Schema } from './schema.ts';

export interface StringOptions extends FieldOptions<string> {
  /** Most bytes of UTF-8. */
  readonly maxBytes?: number;
}

/** Text, quoted or not. */
export function string(options: StringOptions = {}): Schema<string> {
  const { maxBytes, ...rest } = options;
  const read = (cursor: Cursor) => {
    const token = cursor.string();
    if (maxBytes !== undefined && new TextEncoder().encode(token.value).length > maxBytes) {
      throw outOfRange(cursor, token, `'${abridged(token.value)}' is longer than ${maxBytes} bytes`);
    }
    return token.value;
  };
  return field({ read, field: {} }, rest);
}

/** `true` or `false`; the bare name of the field means true, its absence false unless `default` says otherwise. */
export function boolean(options: FieldOptions<boolean> = {}): Schema<boolean> {
  return field(
    { read: (cursor: Cursor): boolean => cursor.boolean().value, field: { bare: true, default: false } },
    options,
  );
}

export interface NumberOptions<T> extends FieldOptions<T> {
  /** Least value allowed; 0 unless given. */
  readonly min?: T;
  /** Greatest value allowed; 2^53 - 1 for numbers and 2^64 - 1 for bigints unless given. */
  readonly max?: T;
}

/** A whole number: decimal, 0x, 0o or 0b. */
export function number(options: NumberOptions<number> = {}): Schema<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, ...rest } = options;
  const read = (cursor: Cursor) => Number(integerWithin(cursor, BigInt(min), BigInt(max)));
  return field({ read, field: {} }, rest);
}

/** {@link number} for values above 2^53. */
export function bigint(options: NumberOptions<bigint> = {}): Schema<bigint> {
  const { min = 0n, max = 2n ** 64n - 1n, ...rest } = options;
  return field({ read: (cursor: Cursor) => integerWithin(cursor, min, max), field: {} }, rest);
}

function integerWithin(cursor: Cursor, min: bigint, max: bigint): bigint {
  const token = cursor.integer();
  if (token.value < min || token.value > max) {
    throw outOfRange(cursor, token, `the number must be between ${min} and ${max}`);
  }
  return token.value;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** A number of bytes: a whole number, alone or with K, M, G or T (or KiB, MiB, …), powers of 1024. */
export function size(options: NumberOptions<number> = {}): Schema<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, ...rest } = options;
  const read = (cursor: Cursor) => {
    const token = cursor.string();
    const [, digits, unit = ''] =
      /^(0x[0-9a-f]{1,16}|[0-9]{1,20})(?:([kmgt])(?:i?b)?)?$/i.exec(token.value) ?? [];
    if (digits === undefined) {
      throw cursor.error(
        'BAD_NUMBER',
        'expected bytes, such as 4096, 64K or 2GiB',
        token.position,
        token.length,
      );
    }
    const value = Number(digits) * (UNITS[unit.toLowerCase()] ?? 1);
    if (value < min || value > max) {
      throw outOfRange(cursor, token, `the size must be between ${min} and ${max} bytes`);
    }
    return value;
  };
  return field({ read, field: {} }, rest);
}

/** One of `names`. */
export function oneOf<const Names extends readonly string[]>(...names: Names): Schema<Names[number]> {
  return named(Object.fromEntries(names.map((name) => [name, name])) as Record<Names[number], Names[number]>);
}

/** One of the keys of `values`, read as its value; several keys may have the same one. */
export function named<const T>(values: Readonly<Record<string, T>>): Schema<T> {
  const byName = new Map(Object.entries(values));
  const read = (cursor: Cursor) => {
    const token = cursor.identifier();
    const value = byName.get(token.value);
    if (value === undefined) throw unknownVariant(cursor, token, byName.keys());
    return value;
  };
  return { read, field: {} };
}

export function unknownVariant(cursor: Cursor, token: Token<string>, names: Iterable<string>) {
  const problem = `unknown variant \`${abridged(token.value)}\`, ${expected(token.value, [...names])}`;
  return cursor.error('UNKNOWN_VARIANT', problem, token.position, token.length);
}

/** "expected one of …", led by a guess at what was meant. */
export function expected(name: string, candidates: readonly string[]): string {
  const guess = nearest(name, candidates);
  const all = candidates.map((candidate) => `\`${candidate}\``).join(', ');
  const list = candidates.length === 1 ? `expected ${all}` : `expected one of ${all}`;
  return guess === undefined ? list : `${list} (did you mean \`${guess}\`?)`;
}

/** `text` short enough for a message. */
export const abridged = (text: string) => (text.length <= 40 ? text : `${text.slice(0, 39)}…`);

function outOfRange(cursor: Cursor, token: Token<unknown>, problem: string) {
  return cursor.error('OUT_OF_RANGE', problem, token.position, token.length);
}

/** `text` as the grammar reads it back as one string: in double quotes where it needs them. */
export function quote(text: string): string {
  return /^[^,:=[\]"'\\]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}
