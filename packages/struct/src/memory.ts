import { StructError } from './errors.ts';

const EMPTY = new ArrayBuffer(0);

/**
 * The typed arrays over one attached structure: what the generated accessors read and write. Every array covers
 * the structure only, so that not even a wrong offset could reach its neighbours.
 *
 * The names start with `$`, which no field's may: symbols would keep clear of them too, but V8 does not treat an
 * imported symbol as a constant, and the accessors would be twenty times slower.
 */
export class Memory {
  readonly $i8: Int8Array;
  readonly $u8: Uint8Array;
  readonly $i16: Int16Array;
  readonly $u16: Uint16Array;
  readonly $i32: Int32Array;
  readonly $u32: Uint32Array;
  readonly $i64: BigInt64Array;
  readonly $u64: BigUint64Array;
  readonly $data: DataView;
  /** Views of array, nested and atomic fields, made when first asked for; indexed by the field's position. */
  readonly $cache: unknown[];

  constructor(buffer: ArrayBufferLike, byteOffset: number, size: number, alignment: number, fields: number) {
    this.$i8 = new Int8Array(buffer, byteOffset, size);
    this.$u8 = new Uint8Array(buffer, byteOffset, size);
    // An array wider than the alignment is never used by a field, and could not be made at this address.
    const at = (width: number): [ArrayBufferLike, number, number] =>
      alignment >= width ? [buffer, byteOffset, Math.floor(size / width)] : [EMPTY, 0, 0];
    this.$i16 = new Int16Array(...at(2));
    this.$u16 = new Uint16Array(...at(2));
    this.$i32 = new Int32Array(...at(4));
    this.$u32 = new Uint32Array(...at(4));
    this.$i64 = new BigInt64Array(...at(8));
    this.$u64 = new BigUint64Array(...at(8));
    this.$data = new DataView(buffer, byteOffset, size);
    this.$cache = new Array(fields).fill(undefined);
  }
}

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
  throw new StructError(
    'BIG_ENDIAN_HOST',
    '@tsvmm/struct reads little-endian memory through typed arrays, so it needs a little-endian host.',
  );
}
