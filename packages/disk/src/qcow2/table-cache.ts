import { SegmentList } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { viewOf } from './big-endian.ts';

/**
 * A part of a metadata table in memory. Use it before the next wait, and after a wait for it only if its `offset` is still
 * the one asked for: the cache may have given its place away.
 */
export class Slice {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly segments: SegmentList;
  /** Byte offset in the file; -1 when it holds nothing. */
  offset = -1;
  isDirty = false;
  /** Used since the clock's hand passed. */
  isRecent = false;
  isLoading = false;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = viewOf(this.bytes);
    this.segments = SegmentList.of(this.bytes);
  }
}

/** Slices per cache at least: what one step of an operation touches, several times over. */
const MINIMUM_SLICES = 16;

/**
 * A bounded cache of metadata slices, which are written back only when the owner says so: the order in which tables
 * reach the disk is what makes an image survive a crash. Only clean slices are given up (by a clock, second chance).
 */
export class TableCache {
  readonly sliceSize: number;
  readonly #storage: Storage;
  readonly #capacity: number;
  readonly #slices: Slice[] = [];
  readonly #byOffset = new Map<number, Slice>();
  readonly #loading = new Map<number, Promise<Slice>>();
  readonly #dirty = new Set<Slice>();
  #hand = 0;

  constructor(storage: Storage, sliceSize: number, maxBytes: number) {
    this.#storage = storage;
    this.sliceSize = sliceSize;
    this.#capacity = Math.max(MINIMUM_SLICES, Math.floor(maxBytes / sliceSize));
  }

  get hasDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** So much is dirty that the owner has to write back before it goes on. */
  get isCrowded(): boolean {
    return this.#dirty.size * 2 >= this.#capacity;
  }

  /** The slice at a multiple of `sliceSize`: at once when it is there or the storage is quick. */
  get(offset: number): Slice | Promise<Slice> {
    const slice = this.#byOffset.get(offset);
    if (slice) {
      slice.isRecent = true;
      return slice;
    }
    return this.#loading.get(offset) ?? this.#load(offset);
  }

  /** Says that a slice, which must have been got since the last wait, was changed. */
  markDirty(slice: Slice): void {
    if (slice.isDirty) return;
    slice.isDirty = true;
    this.#dirty.add(slice);
  }

  /** Forgets the slices of a range of the file, dirty or not. */
  drop(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += this.sliceSize) {
      const slice = this.#byOffset.get(at);
      if (!slice) continue;
      this.#byOffset.delete(at);
      this.#dirty.delete(slice);
      slice.offset = -1;
      slice.isDirty = false;
      slice.isRecent = false;
    }
  }

  /** Writes all dirty slices, in the order of the file. */
  async writeDirty(): Promise<void> {
    for (const slice of [...this.#dirty].sort((a, b) => a.offset - b.offset)) {
      const pending = this.#storage.write(slice.offset, slice.segments);
      if (pending) await pending;
      slice.isDirty = false;
      this.#dirty.delete(slice);
    }
  }

  #load(offset: number): Slice | Promise<Slice> {
    const slice = this.#vacate();
    // More loads at once than the cache has room for: those that are left over do without it.
    const isCached = slice !== undefined;
    const target = slice ?? new Slice(this.sliceSize);
    target.isLoading = true;
    const finish = () => {
      target.isLoading = false;
      target.offset = offset;
      if (!isCached) return;
      target.isRecent = true;
      this.#byOffset.set(offset, target);
    };
    let pending: Promise<void> | undefined;
    try {
      pending = this.#storage.read(offset, target.segments);
    } catch (error) {
      target.isLoading = false;
      throw error;
    }
    if (!pending) {
      finish();
      return target;
    }
    const loading = pending.then(
      () => {
        this.#loading.delete(offset);
        finish();
        return target;
      },
      (error: unknown) => {
        this.#loading.delete(offset);
        target.isLoading = false;
        throw error;
      },
    );
    this.#loading.set(offset, loading);
    return loading;
  }

  #vacate(): Slice | undefined {
    if (this.#slices.length < this.#capacity) {
      const slice = new Slice(this.sliceSize);
      this.#slices.push(slice);
      return slice;
    }
    for (let step = 0; step < 2 * this.#capacity; step++) {
      const slice = this.#slices[this.#hand];
      this.#hand = (this.#hand + 1) % this.#capacity;
      if (!slice || slice.isDirty || slice.isLoading) continue;
      if (slice.isRecent) {
        slice.isRecent = false;
        continue;
      }
      if (slice.offset >= 0) this.#byOffset.delete(slice.offset);
      slice.offset = -1;
      return slice;
    }
    return undefined;
  }
}
