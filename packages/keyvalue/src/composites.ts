import { Cursor } from './cursor.ts';
import { KeyValueError } from './errors.ts';
import type { Optional, Schema, ValueOf } from './schema.ts';
import { abridged, expected, unknownVariant } from './values.ts';

export type RecordFields = Readonly<Record<string, Schema<unknown>>>;

/** An object with a property per field; those of optional fields may be absent. */
export type RecordValue<F extends RecordFields> = {
  -readonly [N in keyof F as F[N] extends Optional<unknown> ? never : N]: ValueOf<F[N]>;
} & {
  -readonly [N in keyof F as F[N] extends Optional<unknown> ? N : never]?: ValueOf<F[N]>;
};

/** Adds the field's name to what goes wrong inside it. */
function inside<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof KeyValueError ? error.within(name) : error;
  }
}

/**
 * Fields by name, in any order: `path=disk.img,ro`. A record inside another stands in brackets. The name of one
 * field, the first unless another says `first: true`, may be omitted where it comes first.
 */
export function record<const F extends RecordFields>(fields: F): Schema<RecordValue<F>> {
  const names = Object.keys(fields);
  const byName = new Map<string, string>();
  for (const [name, { field }] of Object.entries(fields)) {
    for (const alias of [name, ...(field.alias === undefined ? [] : [field.alias].flat())]) {
      if (byName.has(alias)) throw new TypeError(`Two fields of the record are called '${alias}'.`);
      byName.set(alias, name);
    }
  }
  const first = names.find((name) => fields[name]?.field.first) ?? names[0];

  /** The name of the field here, and whether a value follows; the name itself is passed. */
  function key(cursor: Cursor, isFirst: boolean): { name: string; bare: boolean } {
    const start = cursor.position;
    const identifier = cursor.peekIdentifier();
    const after = cursor.text.charAt(start + (identifier?.length ?? 0));
    if (isFirst && first !== undefined && after !== '=') {
      const delimited = after === '' || after === ']' || after === cursor.separator;
      // A known name alone is a flag; all else is a value whose name was omitted.
      if (!delimited || identifier === undefined || !byName.has(identifier))
        return { name: first, bare: false };
    }
    const token = cursor.identifier();
    const name = byName.get(token.value);
    if (name === undefined) {
      const problem = `unknown field \`${abridged(token.value)}\`, ${expected(token.value, [...byName.keys()])}`;
      throw cursor.error('UNKNOWN_FIELD', problem, start, token.length);
    }
    if (cursor.skip('=')) return { name, bare: false };
    if (cursor.atSeparator() && fields[name]?.field.bare !== undefined) return { name, bare: true };
    throw cursor.error('EXPECTED_EQUAL', `expected '=' and a value after \`${token.value}\``).within(name);
  }

  function readFields(cursor: Cursor): RecordValue<F> {
    const start = cursor.position;
    const value: Record<string, unknown> = {};
    for (let isFirst = true; !cursor.atEnd(); isFirst = false) {
      const keyStart = cursor.position;
      const { name, bare } = key(cursor, isFirst);
      if (Object.hasOwn(value, name)) {
        const length = cursor.position - keyStart;
        throw cursor.error('DUPLICATE_FIELD', `duplicate field \`${name}\``, keyStart, length).within(name);
      }
      const schema = fields[name];
      value[name] = bare ? schema?.field.bare : inside(name, () => schema?.read(cursor));
      inside(name, () => cursor.separate());
    }
    for (const [name, schema] of Object.entries(fields)) {
      if (Object.hasOwn(value, name) || 'optional' in schema) continue;
      if (schema.field.default === undefined) {
        const problem = `missing field \`${name}\``;
        throw cursor.error('MISSING_FIELD', problem, start, cursor.position - start).within(name);
      }
      value[name] = schema.field.default;
    }
    // Every field was read by its own schema, has its default, or is optional.
    return value as RecordValue<F>;
  }

  return {
    field: {},
    read(cursor) {
      // Only the outermost record goes without brackets, and it starts where the text does.
      if (cursor.position === 0) return readFields(cursor);
      cursor.open();
      const value = readFields(cursor);
      cursor.close();
      return value;
    },
  };
}

/** Any number of values in brackets: `[1,2,3]`. */
export function vector<T>(element: Schema<T>): Schema<T[]> {
  return {
    field: {},
    read(cursor) {
      const values: T[] = [];
      cursor.open();
      while (!cursor.atEnd()) {
        values.push(inside(String(values.length), () => element.read(cursor)));
        cursor.separate();
      }
      cursor.close();
      return values;
    },
  };
}

type TupleValue<E extends readonly Schema<unknown>[]> = { -readonly [I in keyof E]: ValueOf<E[I]> };

/** A value for each of `elements` in brackets: `[1280,1024]`. */
export function tuple<const E extends readonly Schema<unknown>[]>(...elements: E): Schema<TupleValue<E>> {
  return {
    field: {},
    read(cursor) {
      const start = cursor.position;
      cursor.open();
      const values = elements.map((element, index) => {
        if (cursor.atEnd()) {
          const problem = `expected ${elements.length} values in brackets, not ${index}`;
          throw cursor.error('WRONG_LENGTH', problem, start, cursor.position - start);
        }
        const value = inside(String(index), () => element.read(cursor));
        cursor.separate();
        return value;
      });
      cursor.close();
      // One value was read by each of the schemas.
      return values as TupleValue<E>;
    },
  };
}

type Variants = Readonly<Record<string, Schema<unknown> | null>>;

/** The variant's name, and what its brackets held. */
export type TaggedValue<V extends Variants> = {
  [N in keyof V & string]: { type: N; value: V[N] extends Schema<infer T> ? T : undefined };
}[keyof V & string];

/**
 * A name with a value in brackets, such as `kvm[device=/dev/kvm]` or `windowed[1280,1024]`. The schemas are records,
 * tuples or vectors, or null for a name that takes none. A record whose fields all have defaults may be left out.
 */
export function tagged<const V extends Variants>(variants: V): Schema<TaggedValue<V>> {
  const byName = new Map(Object.entries(variants));
  return {
    field: {},
    read(cursor) {
      const token = cursor.identifier();
      const schema = byName.get(token.value);
      if (schema === undefined) throw unknownVariant(cursor, token, byName.keys());
      const value = schema === null ? undefined : inside(token.value, () => variantValue(cursor, schema));
      // The value was read by the schema of that name.
      return { type: token.value, value } as TaggedValue<V>;
    },
  };
}

function variantValue(cursor: Cursor, schema: Schema<unknown>): unknown {
  if (cursor.peek() === '[') return schema.read(cursor);
  // Without brackets, the fields have their defaults, if they all have one.
  try {
    return schema.read(new Cursor(''));
  } catch {
    throw cursor.error('EXPECTED_OPEN_BRACKET', "expected '[' and its fields");
  }
}
