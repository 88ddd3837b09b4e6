import type { Memory } from './memory.ts';

/** What a layout has to know to place a field; sizes in bytes. */
interface Placed {
  readonly size: number;
  /** Alignment in C's sense: what the field's offset in an unpacked structure is a multiple of. */
  readonly alignment: number;
  /** Alignment without which the field cannot be accessed at all; 1 for what a packed structure may hold anywhere. */
  readonly needs: number;
  /** The kind written out; two kinds with the same shape have the same bytes. */
  readonly shape: string;
}

/** A kind that is one value: reading copies it out, assigning copies it in. */
export interface Scalar<T> extends Placed {
  readonly assignable: true;
  load(data: DataView, offset: number): T;
  store(data: DataView, offset: number, value: T): void;
  /** The fastest accessors for the offset; `natural` says that it is a multiple of the size. */
  property(offset: number, natural: boolean): Property<T>;
}

/** A getter and setter for a layout's accessor class. */
export interface Property<T> {
  get(this: Memory): T;
  set(this: Memory, value: T): void;
}

/** A scalar whose arrays are a typed array of the platform. */
export interface NativeScalar<T, A> extends Scalar<T> {
  readonly typedArray: new (buffer: ArrayBufferLike, byteOffset: number, length: number) => A;
}

/** A kind that is read as an object over the memory: an array, an atomic cell, a nested structure. */
export interface View<T> extends Placed {
  readonly assignable: false;
  view(buffer: ArrayBufferLike, byteOffset: number): T;
}

export type Kind<T> = Scalar<T> | View<T>;

/** The type a kind is read as. */
export type ValueOf<K> = K extends { load(data: DataView, offset: number): infer T }
  ? T
  : K extends { view(buffer: ArrayBufferLike, byteOffset: number): infer T }
    ? T
    : never;
