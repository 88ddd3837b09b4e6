import { Cursor } from './cursor.ts';

/** How text becomes a `T`. */
export interface Schema<T> {
  /** Reads one value and leaves the cursor behind it. */
  read(cursor: Cursor): T;
  /** How the value is used as a field of a {@link record}. */
  readonly field: FieldOptions<T>;
}

/** What a record must know of a field besides its value's schema. */
export interface FieldOptions<T> {
  /** Other names that mean the same field. */
  readonly alias?: string | readonly string[];
  /** Lets the name be omitted in first place; without it the record's first field has that right. */
  readonly first?: boolean;
  /** Value of the field when it is not given. */
  readonly default?: T;
  /** Value of the field when its name stands alone, without '='. */
  readonly bare?: T;
  /** Says what is wrong with a value the grammar allows, if anything. */
  check?(value: T): string | undefined;
}

/** A schema whose field may be left out, and is absent from the record then. */
export interface Optional<T> extends Schema<T> {
  readonly optional: true;
}

/** The type of value a schema reads. */
export type ValueOf<S> = S extends Schema<infer T> ? T : never;

export interface ParseOptions {
  /** What separates fields; ',' unless given. */
  readonly separator?: ',' | ':';
}

/**
 * Reads the whole of `text` as `schema` says.
 * @throws KeyValueError where the text is something else
 */
export function parse<T>(schema: Schema<T>, text: string, options: ParseOptions = {}): T {
  const cursor = new Cursor(text, options.separator);
  const value = schema.read(cursor);
  if (cursor.peek() !== '') {
    throw cursor.error(
      'TRAILING_CHARACTERS',
      'the value ends before the text does',
      cursor.position,
      text.length - cursor.position,
    );
  }
  return value;
}

/** `schema` with other field options. Its check, if any, is called after the schema's own. */
export function field<S extends Schema<unknown>>(schema: S, options: FieldOptions<ValueOf<S>>): S {
  const { check } = options;
  const read = (cursor: Cursor): ValueOf<S> => {
    const start = cursor.position;
    // A schema of type S reads what ValueOf<S> names.
    const value = schema.read(cursor) as ValueOf<S>;
    const problem = check?.(value);
    if (problem !== undefined) throw cursor.error('BAD_VALUE', problem, start, cursor.position - start);
    return value;
  };
  return { ...schema, ...(check && { read }), field: { ...schema.field, ...options } };
}

/** A field that may be left out, and then is absent from the record. */
export function optional<T>(schema: Schema<T>): Optional<T> {
  return { ...schema, optional: true };
}
