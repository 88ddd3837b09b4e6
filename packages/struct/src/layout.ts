import { StructError } from './errors.ts';
import type { Kind, Scalar, ValueOf, View } from './kind.ts';
import { Memory } from './memory.ts';
import { u32 } from './scalars.ts';
import { readSnapshot, type SnapshotIdentity, writeSnapshot } from './snapshot.ts';

/** The fields of a structure, in the order of their addresses. */
export type Fields = Readonly<Record<string, Kind<unknown>>>;

/** The object that shows a structure's memory: scalars can be assigned, views can be changed through. */
export type Accessor<F extends Fields> = {
  -readonly [Name in keyof F as F[Name] extends Scalar<unknown> ? Name : never]: ValueOf<F[Name]>;
} & {
  readonly [Name in keyof F as F[Name] extends Scalar<unknown> ? never : Name]: ValueOf<F[Name]>;
};

export interface StructOptions {
  /** Names the structure in errors and snapshots; 'struct' unless given. */
  readonly name?: string;
  /** Written to snapshots, and to be raised whenever the fields or their meaning change; 0 unless given. */
  readonly version?: number;
  /** No padding between or after fields, like GCC's `packed`. */
  readonly packed?: boolean;
  /** Least alignment of the whole, a power of two, like C's `alignas`. */
  readonly align?: number;
}

const alignUp = (value: number, alignment: number) => Math.ceil(value / alignment) * alignment;

/** The bytes of a structure: where each field is, and accessors for it in any buffer. Made by {@link struct}. */
export class Layout<F extends Fields> implements View<Accessor<F>> {
  readonly name: string;
  readonly version: number;
  /** Bytes, including C's padding after the last field; what an array of the structure steps by. */
  readonly size: number;
  readonly alignment: number;
  readonly needs: number;
  readonly shape: string;
  readonly assignable = false;
  readonly fields: F;
  /** Bytes from the start of the structure to each field. */
  readonly offsets: { readonly [Name in keyof F]: number };
  readonly #Accessor: new (
    buffer: ArrayBufferLike,
    byteOffset: number,
  ) => Memory;

  constructor(fields: F, options: StructOptions = {}) {
    const { name = 'struct', version = 0, packed = false, align = 1 } = options;
    const fail = (what: string): never => {
      throw new StructError('BAD_DEFINITION', `${name}: ${what}`);
    };
    if (!Number.isInteger(Math.log2(align)) || align < 1) fail(`align must be a power of two, not ${align}.`);
    if (!Number.isInteger(version) || version < 0 || version > 0xffff_ffff) {
      fail(`version must be an integer of 32 bits, not ${version}.`);
    }

    const offsets: Record<string, number> = {};
    const shapes: string[] = [];
    let end = 0;
    let alignment = align;
    let needs = align;
    for (const [field, kind] of Object.entries(fields)) {
      // An object orders such names before all others, whatever the source says.
      if (/^\d+$/.test(field)) fail(`a field cannot be named '${field}': names are not numbers.`);
      if (field.startsWith('$'))
        fail(`a field cannot be named '${field}': '$' starts the accessor's own names.`);
      const offset = packed ? end : alignUp(end, kind.alignment);
      if (offset % kind.needs !== 0) {
        fail(
          `'${field}' at offset ${offset} must be at a multiple of ${kind.needs}: pad before it, or pack it too.`,
        );
      }
      offsets[field] = offset;
      shapes.push(`${field}@${offset}:${kind.shape}`);
      end = offset + kind.size;
      if (!packed) alignment = Math.max(alignment, kind.alignment);
      needs = Math.max(needs, kind.needs);
    }
    if (shapes.length === 0) fail('a structure needs a field.');

    this.name = name;
    this.version = version;
    this.size = alignUp(end, alignment);
    this.alignment = alignment;
    this.needs = packed ? needs : Math.max(needs, alignment);
    this.shape = `{${shapes.join(',')}}${this.size}`;
    this.fields = fields;
    this.offsets = offsets as { readonly [Name in keyof F]: number };
    this.#Accessor = accessorClass(this);
  }

  /**
   * The structure at `byteOffset` of `buffer`, as an object with a property per field. Nothing is copied.
   * @throws StructError OUT_OF_BOUNDS when it does not lie inside the buffer, MISALIGNED when the address is not
   * a multiple of the alignment
   */
  attach(buffer: ArrayBufferLike, byteOffset = 0): Accessor<F> {
    this.#check(buffer, byteOffset);
    return this.view(buffer, byteOffset);
  }

  /** {@link attach}, for who has checked the place already. */
  view(buffer: ArrayBufferLike, byteOffset: number): Accessor<F> {
    // accessorClass() has defined a property of the right type for each of the fields.
    return new this.#Accessor(buffer, byteOffset) as unknown as Accessor<F>;
  }

  /**
   * The structure's bytes behind a header with its name, version, size and a checksum of its definition.
   * Words that other threads change meanwhile are whole, but not of one moment: stop those threads first.
   */
  snapshot(buffer: ArrayBufferLike, byteOffset = 0): Uint8Array<ArrayBuffer> {
    this.#check(buffer, byteOffset);
    return writeSnapshot(this.#identity, new Uint8Array(buffer, byteOffset, this.size));
  }

  /**
   * Writes back what {@link Layout.snapshot} returned; changes nothing when it refuses.
   * @throws StructError BAD_SNAPSHOT, WRONG_NAME, WRONG_VERSION, WRONG_LAYOUT; OUT_OF_BOUNDS and MISALIGNED as attach
   */
  restore(snapshot: Uint8Array, buffer: ArrayBufferLike, byteOffset = 0): void {
    this.#check(buffer, byteOffset);
    new Uint8Array(buffer, byteOffset, this.size).set(readSnapshot(this.#identity, snapshot));
  }

  get #identity(): SnapshotIdentity {
    return this;
  }

  #check(buffer: ArrayBufferLike, byteOffset: number): void {
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset + this.size > buffer.byteLength) {
      throw new StructError(
        'OUT_OF_BOUNDS',
        `${this.name} has ${this.size} bytes; at offset ${byteOffset} it is not inside a buffer of ${buffer.byteLength}.`,
      );
    }
    if (byteOffset % this.needs !== 0) {
      throw new StructError(
        'MISALIGNED',
        `${this.name} must be at a multiple of ${this.needs} bytes; ${byteOffset} is not one.`,
      );
    }
  }
}

/** One class per layout, so that the engine sees one shape of object and inlines the accessors. */
function accessorClass(layout: Layout<Fields>): new (buffer: ArrayBufferLike, byteOffset: number) => Memory {
  const { size, needs } = layout;
  const fields = Object.entries(layout.fields);
  const StructAccessor = class extends Memory {
    constructor(buffer: ArrayBufferLike, byteOffset: number) {
      super(buffer, byteOffset, size, needs, fields.length);
    }
  };
  for (const [slot, [name, kind]] of fields.entries()) {
    const offset = layout.offsets[name] ?? 0;
    // In a packed structure even a field whose offset happens to be natural is at any address.
    const natural = offset % kind.size === 0 && needs >= kind.size;
    const property = kind.assignable ? kind.property(offset, natural) : viewProperty(kind, offset, slot);
    Object.defineProperty(StructAccessor.prototype, name, { ...property, enumerable: true });
  }
  return StructAccessor;
}

/** A getter that makes the view when it is first asked for. */
function viewProperty<T>(kind: View<T>, offset: number, slot: number): { get(this: Memory): T } {
  return {
    get() {
      const cache = this.$cache;
      if (cache[slot] === undefined) {
        cache[slot] = kind.view(this.$u8.buffer, this.$u8.byteOffset + offset);
      }
      // Only this getter writes the slot, so what is there is a T.
      return cache[slot] as T;
    },
  };
}

/**
 * Lays out `fields` as a C compiler for x86_64, aarch64 or riscv64 does: each at the next multiple of its
 * alignment, the whole padded to a multiple of the greatest; or without any padding when `packed`.
 * @throws StructError BAD_DEFINITION
 */
export function struct<const F extends Fields>(fields: F, options?: StructOptions): Layout<F> {
  return new Layout(fields, options);
}

/** 64 bits, little-endian, as an object with `lo` and `hi`: any value at the speed of 32-bit fields. */
export const u64split = struct({ lo: u32, hi: u32 }, { name: 'u64', align: 8 });
